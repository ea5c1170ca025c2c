// Package deploy holds no code: the tests here check the files beside it.
package deploy
