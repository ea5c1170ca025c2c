package catalogue

import "github.com/bodhisattva/indranet/schema"

var akoshaRows = []Row{
	{
		Service: schema.Akosha,
		Name:    "pattern.detected",
		Home:    Pattern{"patterns", "category"},
		Fields: []Field{
			{Name: "category", Type: String, Required: true, Doc: "The category of patterns."},
			{Name: "pattern_id", Type: String, Required: true, Doc: "The pattern."},
			{Name: "type", Type: String, Required: true, Aliases: []string{"pattern_type"}, Doc: "The pattern's type."},
			{Name: "confidence", Type: Number, Required: true, Doc: "How certain the detection is, 0 to 1."},
			{Name: "description", Type: String, Doc: "The pattern in words."},
		},
		Doc:     "A pattern was found in the data.",
		Example: `{"category":"usage","pattern_id":"pat-9","type":"weekly_peak","confidence":0.93,"description":"Traffic doubles on Monday mornings"}`,
	},
	{
		Service: schema.Akosha,
		Name:    "anomaly.detected",
		Home:    Pattern{"anomalies", ""},
		Fields: []Field{
			{Name: "anomaly_id", Type: String, Required: true, Doc: "The anomaly."},
			{Name: "type", Type: String, Required: true, Aliases: []string{"anomaly_type"}, Doc: "The anomaly's type."},
			{Name: "severity", Type: String, Required: true, Doc: "How bad it is, for example low, medium, high or critical."},
			{Name: "description", Type: String, Doc: "The anomaly in words."},
			{Name: "metrics", Type: Object, Doc: "The figures that show it."},
		},
		Doc:     "Something unusual was found in the data.",
		Example: `{"anomaly_id":"an-31","type":"latency_spike","severity":"high","description":"p99 is six times its usual value","metrics":{"p99_ms":1840}}`,
	},
	{
		Service: schema.Akosha,
		Name:    "insight.generated",
		Home:    Pattern{"insights", ""},
		Fields: []Field{
			{Name: "insight_id", Type: String, Required: true, Doc: "The insight."},
			{Name: "type", Type: String, Required: true, Aliases: []string{"insight_type"}, Doc: "The insight's type."},
			{Name: "title", Type: String, Required: true, Doc: "The insight in one line."},
			{Name: "description", Type: String, Doc: "The insight in words."},
			{Name: "data", Type: Object, Doc: "The figures behind it."},
		},
		Doc:     "Analysis led to a new insight.",
		Example: `{"insight_id":"in-5","type":"trend","title":"Searches grow faster than sessions","description":"Up 18 % in four weeks","data":{"weeks":4,"growth":0.18}}`,
	},
	{
		Service: schema.Akosha,
		Name:    "aggregation.completed",
		Home:    Pattern{"metrics", ""},
		Fields: []Field{
			{Name: "aggregation_id", Type: String, Required: true, Doc: "The aggregation."},
			{Name: "record_count", Type: Integer, Required: true, Doc: "How many records were aggregated."},
			{Name: "type", Type: String, Aliases: []string{"aggregation_type"}, Doc: "The aggregation's type."},
			{Name: "summary", Type: Object, Doc: "What came out."},
		},
		Doc:     "A batch of records was aggregated.",
		Example: `{"aggregation_id":"agg-2026-11-22","record_count":48211,"type":"daily","summary":{"sessions":912}}`,
	},
}
