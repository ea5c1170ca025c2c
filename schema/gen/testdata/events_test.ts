// A program that uses the generated types in every way that they promise. It is
// never run: it is right when it compiles without emitting anything, and wrong
// when a line marked @ts-expect-error compiles.
import type {
  AdapterActivated,
  DhruvaEvent,
  EventName,
  EventOf,
  ExcalidrawEvent,
  IndranetEvent,
  Json,
  ServiceEvents,
  ServiceName,
} from "../events";

// The union is told apart by its key "event", and nothing is left over: an event
// that is added to the catalogue makes this function wrong until it has a case.
export function describe(frame: IndranetEvent): string {
  switch (frame.event) {
    case "workflow.started":
      return `${frame.data.workflow_id} on ${frame.data.adapter}: ${frame.data.prompt}`;
    case "workflow.stage_completed":
      return frame.data.stage_name + JSON.stringify(frame.data.result);
    case "workflow.completed":
      return JSON.stringify(frame.data.result);
    case "workflow.failed":
      return frame.data.error;
    case "worker.status_changed":
      return frame.data.status === "idle" ? frame.data.worker_id : frame.data.pool_id;
    case "pool.status_changed":
      return String(frame.data.metrics?.workers ?? frame.data.status?.state);
    case "adapter.activated":
      return frame.data.version + String(frame.data.config?.chunk_size);
    case "adapter.deactivated":
      return frame.data.reason;
    case "adapter.swapped":
      return frame.data.old_adapter + frame.data.new_adapter + frame.data.repo;
    case "distribution.completed":
      return frame.data.adapters_count.toFixed() + (frame.data.adapters ?? []).join() + (frame.data.duration_ms ?? 0).toFixed();
    case "registry.updated":
      return [frame.data.version, ...(frame.data.added ?? []), ...(frame.data.removed ?? []), ...(frame.data.updated ?? [])].join();
    case "lifecycle.changed":
      return frame.data.entity_type + frame.data.entity_id + frame.data.old_state + frame.data.new_state;
    case "element.added":
      return frame.data.diagram_id + frame.data.element_id + frame.data.type + JSON.stringify(frame.data.props);
    case "element.updated":
      return JSON.stringify(frame.data.changes) + (frame.data.user_id ?? "");
    case "element.deleted":
      return frame.data.element_id;
    case "diagram.saved":
      return frame.data.storage_key + (frame.data.timestamp ?? "");
    case "diagram.locked":
      return frame.data.user_id + frame.data.reason;
    case "cursor.moved":
      return (frame.data.x + frame.data.y).toFixed(1) + (frame.data.color ?? "");
    case "selection.changed":
      return frame.data.element_ids.join();
    case "user.joined":
      return frame.data.name;
    case "user.left":
      return frame.data.room_id + frame.data.user_id;
    case "component.updated":
      return JSON.stringify([frame.data.props, frame.data.state]);
    case "component.mounted":
      return frame.data.component_id + frame.data.page_id + JSON.stringify(frame.data.props);
    case "component.unmounted":
      return frame.data.component_id + frame.data.page_id;
    case "page.rendered":
      return frame.data.duration_ms.toFixed() + (frame.data.component_count ?? 0).toFixed();
    case "state.changed":
      return frame.data.path + JSON.stringify([frame.data.old_value, frame.data.new_value]);
    case "hot_reload.triggered":
      return frame.data.file_path + frame.data.affected_components.join();
    case "render.started":
      return frame.data.render_type;
    case "render.completed":
      return frame.data.duration_ms.toFixed() + JSON.stringify(frame.data.result);
    case "render.failed":
      return frame.data.error;
    case "pattern.detected":
      return frame.data.category + frame.data.type + frame.data.confidence.toFixed(2) + (frame.data.description ?? "");
    case "anomaly.detected":
      return frame.data.severity + JSON.stringify(frame.data.metrics);
    case "insight.generated":
      return frame.data.title + JSON.stringify(frame.data.data);
    case "aggregation.completed":
      return frame.data.record_count.toFixed() + (frame.data.type ?? "") + JSON.stringify(frame.data.summary);
    case "test.started":
      return frame.data.test_suite + frame.data.total.toFixed();
    case "test.completed":
      return (frame.data.completed - frame.data.failed).toFixed() + (frame.data.duration_seconds ?? 0).toFixed();
    case "test.failed":
      return frame.data.test_name + frame.data.error + (frame.data.traceback ?? "");
    case "quality_gate.checked":
      return frame.data.gate_name + frame.data.status + ((frame.data.score ?? 0) - (frame.data.threshold ?? 0)).toFixed();
    case "coverage.updated":
      return frame.data.project + frame.data.line.toFixed() + frame.data.branch.toFixed();
    case "session.created":
      return JSON.stringify(frame.data.context);
    case "session.updated":
      return JSON.stringify(frame.data.changes);
    case "session.checkpoint":
      return frame.data.session_id + (frame.data.checkpoint_id ?? "");
    case "session.closed":
      return frame.data.reason ?? "";
    case "knowledge.captured":
      return frame.data.knowledge_id + frame.data.type;
    case "knowledge.search_result":
      return (frame.data.query ?? "") + JSON.stringify(frame.data.results);
    case "metrics.update":
      return frame.data.timestamp + JSON.stringify(frame.data.metrics);
    case "system.events":
      return (frame.data.level ?? "info") + (frame.data.message ?? "") + String(frame.data.window_minutes);
    default: {
      const nothing: never = frame;
      return nothing;
    }
  }
}

// A frame as it comes off the wire has its type.
const delivered: IndranetEvent = {
  type: "event",
  event: "adapter.activated",
  data: { adapter_id: "llamaindex", repo: "r", version: "1.4.0", occurred_at: "2026-11-22T10:15:00Z" },
  id: "019abf3e-5d0c-7a1b-9c2d-3e4f5a6b7c8d",
  timestamp: "2026-11-22T10:15:00.25Z",
  room: "adapter:llamaindex",
  seq: 1042,
  prev: 1038,
};

// A position is there exactly for durable events.
export function position(frame: IndranetEvent): number | undefined {
  return frame.seq;
}
export const durable: number = ({} as EventOf<"adapter.activated">).seq;
export const transient: undefined = ({} as EventOf<"cursor.moved">).seq;

// A handler of one event gets its payload.
type Handlers = { [Name in EventName]?: (data: EventOf<Name>["data"], frame: EventOf<Name>) => void };
export const handlers: Handlers = {
  "adapter.activated": (data: AdapterActivated) => console.log(data.adapter_id),
  "cursor.moved": (data, frame) => console.log(data.x, frame.room),
};

// The services by name.
export function subscribe<Name extends ServiceName>(service: Name, on: (frame: ServiceEvents[Name]) => void): void {
  console.log(service, on, delivered);
}
subscribe("session-buddy", (frame) => {
  if (frame.event === "session.closed") console.log(frame.data.reason);
});

// null is a value of new_value, and of nothing else.
export const value: Json = ({} as EventOf<"state.changed">).data.new_value;
export const result: NonNullable<Json> = ({} as EventOf<"workflow.completed">).data.result;

// What must not compile.
// @ts-expect-error: no such service
subscribe("nobody", () => {});
// @ts-expect-error: no such event
export type Unknown = EventOf<"workflow.stated">;
// @ts-expect-error: the event belongs to another service
export const wrongService: ExcalidrawEvent = delivered as DhruvaEvent;
// @ts-expect-error: a required field is missing
export const incomplete: AdapterActivated = { adapter_id: "llamaindex", repo: "r" };
// @ts-expect-error: an older spelling is never sent
export const older = ({} as EventOf<"page.rendered">).data.duration;
// @ts-expect-error: not one of the values
export const status: EventOf<"worker.status_changed">["data"]["status"] = "gone";
// @ts-expect-error: a transient event has no position
export const seq: number = ({} as EventOf<"selection.changed">).seq;
