package catalogue

import "github.com/bodhisattva/indranet/schema"

var mahavishnuRows = []Row{
	{
		Service: schema.Mahavishnu,
		Name:    "workflow.started",
		Home:    Pattern{"workflow", "workflow_id"},
		Fields: []Field{
			{Name: "workflow_id", Type: String, Required: true, Doc: "The workflow."},
			{Name: "adapter", Type: String, Required: true, Doc: "The adapter that runs the workflow."},
			{Name: "prompt", Type: String, Required: true, MayBeEmpty: true, Doc: "What the workflow was asked to do."},
		},
		Doc:     "A workflow began to run.",
		Example: `{"workflow_id":"wf-42","adapter":"llamaindex","prompt":"Summarise the release notes"}`,
	},
	{
		Service: schema.Mahavishnu,
		Name:    "workflow.stage_completed",
		Home:    Pattern{"workflow", "workflow_id"},
		Fields: []Field{
			{Name: "workflow_id", Type: String, Required: true, Doc: "The workflow."},
			{Name: "stage_name", Type: String, Required: true, Doc: "The stage that ended."},
			{Name: "result", Type: Any, Required: true, Doc: "What the stage produced."},
		},
		Doc:     "A stage of a running workflow ended well.",
		Example: `{"workflow_id":"wf-42","stage_name":"retrieve","result":{"documents":12}}`,
	},
	{
		Service: schema.Mahavishnu,
		Name:    "workflow.completed",
		Home:    Pattern{"workflow", "workflow_id"},
		Fields: []Field{
			{Name: "workflow_id", Type: String, Required: true, Doc: "The workflow."},
			{Name: "result", Type: Any, Required: true, Doc: "What the workflow produced."},
		},
		Doc:     "A workflow ended well.",
		Example: `{"workflow_id":"wf-42","result":{"summary":"Three fixes and one new adapter."}}`,
	},
	{
		Service: schema.Mahavishnu,
		Name:    "workflow.failed",
		Home:    Pattern{"workflow", "workflow_id"},
		Fields: []Field{
			{Name: "workflow_id", Type: String, Required: true, Doc: "The workflow."},
			{Name: "error", Type: String, Required: true, MayBeEmpty: true, Doc: "Why it failed, for people."},
		},
		Doc:     "A workflow ended with an error.",
		Example: `{"workflow_id":"wf-42","error":"the retrieve stage timed out after 30 s"}`,
	},
	{
		Service: schema.Mahavishnu,
		Name:    "worker.status_changed",
		Home:    Pattern{"pool", "pool_id"},
		Fields: []Field{
			{Name: "worker_id", Type: String, Required: true, Doc: "The worker."},
			{Name: "status", Type: String, Required: true, Enum: []string{"idle", "busy", "error", "offline"}, Doc: "The worker's new status."},
			{Name: "pool_id", Type: String, Required: true, Doc: "The pool that the worker belongs to."},
		},
		Doc:     "A worker of a pool changed its status.",
		Example: `{"worker_id":"worker-7","status":"busy","pool_id":"pool-eu"}`,
	},
	{
		Service: schema.Mahavishnu,
		Name:    "pool.status_changed",
		Home:    Pattern{"pool", "pool_id"},
		Fields: []Field{
			{Name: "pool_id", Type: String, Required: true, Doc: "The pool."},
			{Name: "metrics", Type: Object, Doc: "Figures of the pool, such as queue length."},
			{Name: "status", Type: Object, Doc: "State of the pool, such as its number of workers."},
		},
		AnyOf:   []string{"metrics", "status"},
		Doc:     "A pool's figures or state changed.",
		Example: `{"pool_id":"pool-eu","metrics":{"workers":8,"queue_size":3},"status":{"state":"running"}}`,
	},
}
