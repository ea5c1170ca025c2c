package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
)

// Sizes of RSA keys, in bits.
const (
	minRSA = 2048
	// Checking a signature takes time with the square of the size.
	maxRSA = 8192
)

// choose returns the keys that may be used and logs what is wrong with the others, each
// problem once while it lasts.
func (s *keySet) choose(raw []json.RawMessage) []jwkset.JWK {
	logged := make(map[string]bool)
	problem := func(kid, problem string) {
		kid = s.hide.clean(kid, 64)
		text := kid + ": " + problem
		if !s.logged[text] && !logged[text] {
			s.log.Warn("a key of tokens is not used", "kid", kid, "problem", problem)
		}
		logged[text] = true
	}
	var keys []jwkset.JWK
	var kids []string
	for i, one := range raw {
		if i == maxKeys {
			problem("", fmt.Sprintf("there are more than %d keys", maxKeys))
			break
		}
		var fields jwkset.JWKMarshal
		if json.Unmarshal(one, &fields) != nil {
			problem("", "it is no JSON Web Key")
			continue
		}
		key, why := s.usableKey(fields)
		if why == "" && slices.Contains(kids, fields.KID) {
			why = "another key has the same kid"
		}
		if why != "" {
			problem(fields.KID, why)
			continue
		}
		keys, kids = append(keys, key), append(kids, fields.KID)
	}
	s.logged = logged
	return keys
}

// usableKey reads one key. It says why the key may not be used, if it may not.
func (s *keySet) usableKey(fields jwkset.JWKMarshal) (jwkset.JWK, string) {
	switch {
	case fields.KTY == jwkset.KtyOct:
		return jwkset.JWK{}, "it is a secret, and published"
	case fields.D != "":
		return jwkset.JWK{}, "its private part is published"
	case fields.USE != "" && fields.USE != jwkset.UseSig:
		return jwkset.JWK{}, "it is not for signatures"
	case len(fields.KEYOPS) > 0 && !slices.Contains(fields.KEYOPS, jwkset.KeyOpsVerify):
		return jwkset.JWK{}, "it is not for checking signatures"
	case len(fields.KID) > maxKid:
		return jwkset.JWK{}, fmt.Sprintf("its kid is longer than %d bytes", maxKid)
	}
	// Certificates say nothing that the trust in the document does not.
	fields.X5U, fields.X5C, fields.X5T, fields.X5TS256 = "", nil, "", ""
	key, err := jwkset.NewJWKFromMarshal(fields, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipKeyOps: true})
	if err != nil {
		return jwkset.JWK{}, "it is malformed or of an unsupported type"
	}
	family, why := familyOf(key.Key())
	switch alg := key.Marshal().ALG.String(); {
	case why != "":
		return jwkset.JWK{}, why
	case !slices.Contains(s.families, family):
		return jwkset.JWK{}, "no configured algorithm uses its type"
	case alg != "" && algorithms[alg].family != family:
		return jwkset.JWK{}, "its alg is not one of its type"
	}
	return key, ""
}

// familyOf is the sort of a public key. It says why a key is not good enough for its
// sort.
func familyOf(key any) (family, string) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		if bits < minRSA || bits > maxRSA || key.E < 3 || key.E%2 == 0 || key.N.Bit(0) == 0 {
			return 0, fmt.Sprintf("it is an RSA key of %d bits with the exponent %d: %d to %d bits and an odd exponent are needed",
				bits, key.E, minRSA, maxRSA)
		}
		return rsaFamily, ""
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return p256Family, ""
		case elliptic.P384():
			return p384Family, ""
		case elliptic.P521():
			return p521Family, ""
		}
	case ed25519.PublicKey:
		return ed25519Family, ""
	}
	return 0, "its type is not supported"
}
