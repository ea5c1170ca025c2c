package catalogue

import "github.com/bodhisattva/indranet/schema"

var crackerjackRows = []Row{
	{
		Service: schema.Crackerjack,
		Name:    "test.started",
		Home:    Pattern{"test", "run_id"},
		Fields: []Field{
			{Name: "run_id", Type: String, Required: true, Doc: "The test run."},
			{Name: "test_suite", Type: String, Required: true, Doc: "The suite that runs."},
			{Name: "total", Type: Integer, Required: true, Aliases: []string{"total_tests"}, Doc: "How many tests the suite has."},
		},
		Doc:     "A test run began.",
		Example: `{"run_id":"run-118","test_suite":"unit","total":412}`,
	},
	{
		Service: schema.Crackerjack,
		Name:    "test.completed",
		Home:    Pattern{"test", "run_id"},
		Fields: []Field{
			{Name: "run_id", Type: String, Required: true, Doc: "The test run."},
			{Name: "completed", Type: Integer, Required: true, Aliases: []string{"tests_completed"}, Doc: "How many tests ran."},
			{Name: "failed", Type: Integer, Required: true, Aliases: []string{"tests_failed"}, Doc: "How many of them failed."},
			{Name: "duration_seconds", Type: Number, Doc: "How long the run took, in seconds."},
		},
		Doc:     "A test run ended.",
		Example: `{"run_id":"run-118","completed":412,"failed":1,"duration_seconds":38.2}`,
	},
	{
		Service: schema.Crackerjack,
		Name:    "test.failed",
		Home:    Pattern{"test", "run_id"},
		Fields: []Field{
			{Name: "run_id", Type: String, Required: true, Doc: "The test run."},
			{Name: "test_name", Type: String, Required: true, Doc: "The test that failed."},
			{Name: "error", Type: String, Required: true, MayBeEmpty: true, Doc: "Why it failed, for people."},
			{Name: "traceback", Type: String, Doc: "Where it failed."},
		},
		Doc:     "One test of a run failed.",
		Example: `{"run_id":"run-118","test_name":"test_checkout_total","error":"assert 41 == 42","traceback":"tests/test_cart.py:17"}`,
	},
	{
		Service: schema.Crackerjack,
		Name:    "quality_gate.checked",
		Home:    Pattern{"quality", "project"},
		Fields: []Field{
			{Name: "project", Type: String, Required: true, Doc: "The project."},
			{Name: "gate_name", Type: String, Required: true, Doc: "The quality gate."},
			{Name: "status", Type: String, Required: true, Doc: "How the check came out, for example passed or failed."},
			{Name: "score", Type: Number, Doc: "The score that was reached."},
			{Name: "threshold", Type: Number, Doc: "The score that was needed."},
		},
		Doc:     "A project was measured against a quality gate.",
		Example: `{"project":"github.com/lesleslie/crackerjack","gate_name":"coverage","status":"passed","score":91.2,"threshold":85}`,
	},
	{
		Service: schema.Crackerjack,
		Name:    "coverage.updated",
		Home:    Pattern{"coverage", ""},
		Fields: []Field{
			{Name: "project", Type: String, Required: true, Doc: "The project."},
			{Name: "line", Type: Number, Required: true, Aliases: []string{"line_coverage"}, Doc: "Line coverage, in percent."},
			{Name: "branch", Type: Number, Required: true, Aliases: []string{"branch_coverage"}, Doc: "Branch coverage, in percent."},
		},
		Doc:     "A project's test coverage was measured.",
		Example: `{"project":"github.com/lesleslie/crackerjack","line":92.4,"branch":88.1}`,
	},
}
