/**
 * The browser client of a wakelog server: one module, no dependency.
 *
 * A client keeps its place in the log. When the connection is lost, it comes back by itself, goes
 * on from that place, and its listeners get what they missed, in order. What cannot come any more
 * is told as a `gap` with exact numbers, never left out silently.
 */

/** Opens a client. It connects at once and keeps at it. */
export function connect(url: string | URL, options?: Options): Client;

/** The offset in a position: how many events of the log lie before it. */
export function offsetOf(position: Position): number;

/** A place between two events. Opaque, but for {@link offsetOf}. */
export type Position = string;

export interface Options {
  /**
   * Name under which the server keeps one durable position for this client. What the listeners have
   * processed is then acknowledged by itself. One consumer is one connection: a younger one fences
   * this one (see the event `fenced`).
   */
  consumer?: string;
  /**
   * Credentials for the server's hook, or where to get them; asked anew for each connection. With a
   * function the client comes back by itself when its credentials have ended.
   */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /**
   * Where positions are kept beyond the life of this object. `"memory"` (the default): nowhere, a
   * reload begins at the consumer's cursor or at `start`.
   */
  storage?: "memory" | "localStorage" | Storage;
  /** Do not connect before `goOnline()`. */
  offline?: boolean;
  /** A WebSocket class, for a Node that has none of its own (before 22). */
  WebSocket?: unknown;
}

/**
 * A store of your own. `save` is called after each processed event and at the end of each page,
 * one call at a time; an ack waits for it. If it fails, the connection is made anew and reading
 * goes on from the last position, so nothing is lost. An empty position means: forget it.
 */
export interface Storage {
  load(key: string): Position | null | undefined | Promise<Position | null | undefined>;
  save(key: string, position: Position): void | Promise<void>;
}

export interface Client extends EventTarget {
  readonly url: string | URL;
  /** What the server said at the last handshake; undefined while not connected. */
  readonly welcome: Welcome | undefined;
  readonly status: Status;

  /**
   * Calls `listener` for each event that matches one of the filters (`room.42`, `room.*`,
   * `room.>`), in order, one at a time: the next event waits until a returned promise is resolved.
   * If the listener throws, the client tells it (event `error`, code `listener`) and gives it the
   * *same* event again after a while; catch what you want to pass over.
   */
  on<Data = unknown>(
    filters: string | string[],
    listener: (event: LogEvent<Data>) => unknown,
    options?: SubscriptionOptions,
  ): Subscription;

  /**
   * Publishes one event. It waits in the outbox while there is no connection, and is sent again
   * under the same id until the server has answered. Resolves when the event is on the server's
   * disk; rejects with a `code` when it can never be (PROTOCOL.md, section 10).
   *
   * Data: a string and a `Uint8Array` arrive as they are, anything else as JSON.
   */
  emit(
    topics: string | string[],
    data?: unknown,
    options?: EmitOptions,
  ): Promise<Published | Reply>;

  /** Disconnects and stays so until {@link goOnline}. Positions and outbox are kept. */
  goOffline(reason?: string): void;
  /** Connects after {@link goOffline}, after `fenced`, or after a refusal. */
  goOnline(): void;
  /** Ends the client for good; what waits in the outbox is rejected with the code `closed`. */
  close(): void;

  addEventListener<Type extends keyof ClientEvents>(
    type: Type,
    listener: (event: Event & ClientEvents[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export interface SubscriptionOptions {
  /**
   * Where to begin when there is no position yet, neither stored here nor as the consumer's cursor:
   * `"latest"` (the default), `"earliest"`, an offset, a negative number (so many events before the
   * end), or a position. A function is asked instead of the cursor; undefined means the cursor.
   * What is made before the connection is there has its latest at `welcome.end`, so that it hears
   * what this client emits, too.
   */
  start?: Start | ((welcome: Welcome) => Start | undefined);
  /** Key for the storage, instead of the filters. */
  key?: string;
}

export type Start = "earliest" | "latest" | number | Position;

export interface Subscription {
  readonly filters: string[];
  /** Everything before it is processed; undefined while nothing is known. */
  readonly position: Position | undefined;
  /** True while nothing is waiting on the server. */
  readonly live: boolean;
  /** How many missed events have arrived since the last connect. */
  readonly missed: number;
  /** True after `off()`, and after the server refused it for good. */
  readonly failed: boolean;
  off(): void;
}

export interface LogEvent<Data = unknown> {
  /** The number of the event in the log. */
  offset: number;
  /** The place after this event: store it with the effect of the event to process it just once. */
  position: Position;
  /** Microseconds since 1970 (UTC), on the server's clock. */
  time: number;
  topics: string[];
  data: Data;
  name?: string;
  id?: string;
  /** Who published it, by the server's word. */
  from?: string;
  notTo?: string[];
  /** True if it was appended while this client was away. */
  missed: boolean;
  /**
   * True if it is not stored: its offset and position say only where the log ended. It moves no
   * place, is not told again if the listener throws, and does not come to who is behind.
   */
  volatile?: boolean;
}

export interface EmitOptions {
  name?: string;
  /** Identities that do not get the event (their `welcome.from`). */
  notTo?: string[];
  /** It is not stored, and told to those alone who are connected now and have caught up. */
  volatile?: boolean;
  /** Made by the client when not given. Choose one that is different for every event. */
  id?: string;
}

export interface Published {
  id: string;
  offset: number;
  position: Position;
  data?: undefined;
}

/**
 * What the application has answered to an event that it has taken for itself, and it is not stored;
 * or an empty string, to one that is volatile.
 */
export interface Reply {
  id: string;
  data: unknown;
  offset?: undefined;
  position?: undefined;
}

export interface Status {
  /** `offline` does not come back by itself, `connecting` does. */
  state: "connecting" | "catching-up" | "live" | "offline";
  /** Missed events that have arrived since the last connect. */
  missed: number;
  /** Emitted events that are not answered. */
  pending: number;
  /** While connecting: how often it was tried, and when the next try is due (ms since 1970). */
  attempt?: number;
  retryAt?: number;
  /** While offline: `user`, `fenced`, `refused`, `closed` or what was given; and the close code. */
  reason?: string;
  code?: number;
}

export interface ClientEvents {
  status: Status;
  /** The events in [from, to) will not come (or, if diverged, those seen there are void). */
  gap: {
    from: number;
    to: number;
    reason: "trimmed" | "corrupt" | "diverged";
    position: Position;
    subscription: Subscription;
  };
  /**
   * The log is another one than before. Drop what you derived from it: the subscription begins
   * anew, at its `start` or else at the earliest event.
   */
  reset: {
    reason: "log" | "epoch" | "position";
    earliest?: Position;
    end?: Position;
    subscription: Subscription;
  };
  /** A younger connection has this consumer. This one stays offline until `goOnline()`. */
  fenced: object;
  /** From the server (PROTOCOL.md, section 10), or `listener` or `hook`: your code has thrown. */
  error: {
    code: string;
    message: string;
    retry?: boolean;
    re?: string;
    id?: string;
    error?: unknown;
    event?: LogEvent;
    subscription?: Subscription;
  };
}

export interface Welcome {
  log: string;
  epoch: string;
  end: Position;
  from: string | null;
  consumer: string | null;
  cursor: { state: "new" | "resumed" | "expired" | "lost"; position: Position } | null;
  heartbeat_ms: number;
  reconnect: { min_ms: number; max_ms: number };
  limits: {
    message_bytes: number;
    subscriptions: number;
    filters: number;
    publishes: number;
    dedup_ids: number;
    credit: { events: number; bytes: number };
  };
}
