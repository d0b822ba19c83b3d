// The types of client.js: one login, or one key, at a clientes server, for browsers and Node.

/** A user, as a login returns it. */
export interface User {
  id: number;
  user: string;
  role: "viewer" | "editor" | "admin";
}

/** A customer. `version` counts its writes and is its entity tag. */
export interface Cliente {
  id: number;
  name: string;
  email: string;
  phone: string;
  company: string;
  address: string;
  notes: string;
  version: number;
  created_at: string;
  updated_at: string;
}

/** The members of a customer that a client may write. */
export type ClienteInput = Pick<Cliente, "name"> &
  Partial<Pick<Cliente, "email" | "phone" | "company" | "address" | "notes">>;

/** One step in the life of a customer. */
export interface Change {
  version: number;
  action: "created" | "updated" | "deleted" | "restored" | "erased";
  user_id: number | null;
  user: string | null;
  at: string;
  record: Cliente | null;
}

/** One fault of what was sent: of a member, or of a row of an import. */
export interface Fault {
  row?: number;
  field: string;
  message: string;
  code: string;
}

/**
 * Every promise of this module rejects with it, apart from what an AbortSignal ends. `code` is the server's, or
 *
 * - "network": nobody answered, or not the server but a proxy, whose `status` it has;
 * - "logged_out", "user_changed": this client's user has to log in, or is another one by now;
 * - "conflict_fields": see {@link Clientes.update}.
 */
export interface ClientesError extends Error {
  code: string;
  status?: number;
  errors?: Fault[];
  /** How many faults an import has: `errors` has the first hundred. */
  error_count?: number;
  request_id?: string;
  /** In seconds: when to try again. */
  retryAfter?: number;
  /** A puzzle to {@link solve} instead of waiting. */
  challenge?: string;
  conflict?: Conflict;
}

/** A login that lives. `endsAt` is when it ends if nobody uses it, as Date.now() counts. */
export interface Session {
  user: User;
  endsAt: number;
}

/** Where the refresh token is kept without cookie mode: localStorage, or a keychain. */
export interface Storage {
  getItem(key: string): string | null | undefined | Promise<string | null | undefined>;
  setItem(key: string, value: string): void | Promise<void>;
  removeItem(key: string): void | Promise<void>;
}

export interface Options {
  /** The refresh token is in a cookie that no script can read; all tabs share it. */
  cookie?: boolean;
  /**
   * The key of a program, in place of a login: `login`, `refresh`, `session` and the other options are for people, but
   * for `onEnd`, which is called when the key has ended or expired. `logout` ends it.
   */
  key?: string;
  storage?: Storage;
  /** Called once when the user has to log in again; "logged_out" if another tab logged out. */
  onEnd?: (code: string) => void;
  /** Called after each login and each refresh, also one of another tab. */
  onSession?: (session: Session) => void;
}

/** A login with an object of options solves a puzzle where it would have to wait. */
export interface LoginOptions {
  /** The code of a second factor. */
  code?: string;
  /** The session ends 14 days after its last use instead of 30 minutes. */
  remember?: boolean;
  /** Called with 0 to 1 while a puzzle is solved instead of waiting (429 with a challenge). */
  onPuzzle?: (done: number) => void;
  signal?: AbortSignal;
}

export interface Query {
  q?: string;
  email?: string;
  sort?: string;
  limit?: number;
  updated_since?: string;
  count?: "exact";
}

/** A page of a list. `next` and `total` are absent when there is no more, or nobody counted. */
export interface Page<T> {
  records: T[];
  next?: string;
  total?: number;
}

/**
 * Two people changed the same fields. When the user has chosen, write it with
 * `update(conflict.theirs, { ...conflict.mine, ...choices })`.
 */
export interface Conflict {
  /** What was read, what the server has now, and what is still to be written. */
  base: Cliente;
  theirs: Cliente;
  mine: Partial<ClienteInput>;
  /** The fields that both changed, each to something else. */
  fields: (keyof ClienteInput)[];
}

export interface ImportOptions {
  /** What the columns are, from the left; "" is passed over. */
  columns?: string[];
  /** "absent": the first line is a record already. */
  header?: "present" | "absent";
  /** The character set, as the WHATWG Encoding Standard names it. */
  charset?: string;
  /** "text/csv" unless the file is NDJSON. */
  type?: "text/csv" | "application/x-ndjson";
  dryRun?: boolean;
  /** Called with the bytes that were sent, and all bytes. In Node: once at each end. */
  onProgress?: (sent: number, all: number) => void;
  signal?: AbortSignal;
}

/** A change of a customer, in the order of all changes. */
export interface FeedChange {
  id: number;
  version: number;
  action: "created" | "updated" | "deleted" | "restored" | "erased";
  user_id: number | null;
  user: string;
  at: string;
  /** The customer after the change, null if there is none. */
  record: Cliente | null;
}

export interface FollowOptions {
  signal?: AbortSignal;
  /** Ends with the token, and does not use the session: for a page that may stay open while nobody works there. */
  passive?: boolean;
}

export interface Clientes {
  /** One page: of a query, or the one that `next` of a page names. */
  page(query?: Query | string, options?: { signal?: AbortSignal }): Promise<Page<Cliente>>;
  /** Every customer of a query, page by page. */
  list(query?: Query): AsyncIterable<Cliente>;
  get(id: number): Promise<Cliente>;
  /** Creates one record, also when the answer is lost and the request is sent again. */
  create(cliente: ClienteInput): Promise<Cliente>;
  /**
   * Writes the changed fields, if the record still has the version of `base`. If somebody has
   * written in between, changes of other fields go together by themselves, and a field that both
   * changed rejects with the code "conflict_fields" and `conflict`.
   */
  update(base: Cliente, changes: Partial<ClienteInput>): Promise<Cliente>;
  /** Deletes it, if it still has the version of `base`. */
  delete(base: Pick<Cliente, "id" | "version">): Promise<void>;
  history(id: number, query?: { limit?: number } | string): Promise<Page<Change>>;
  /**
   * Writes the text of an old version as a new one, over whatever was written since: the history has
   * that. Brings a deleted customer back.
   */
  restore(id: number, version: number): Promise<Cliente>;
  import(file: Blob | string, options?: ImportOptions): Promise<{ imported?: number; valid?: number }>;
  /** The answer of the server, to be read or streamed to a file. */
  export(
    query?: Query,
    type?: "text/csv" | "application/x-ndjson",
    options?: { signal?: AbortSignal },
  ): Promise<Response>;
}

export interface Client {
  /** The third argument may be the code of a second factor alone. */
  login(user: string, password: string, options?: string | LoginOptions): Promise<User>;
  /** It does not call `onEnd`. What the server refuses because of it rejects with "logged_out". */
  logout(options?: { everywhere?: boolean }): Promise<void>;
  /**
   * As the global fetch, but with a path of the server, and with the token. The request may be sent twice, so its body
   * cannot be a stream.
   */
  fetch(path: string, options?: RequestInit): Promise<Response>;
  /** The body of an answer; a refusal rejects. `body` is sent as JSON. */
  json<T = unknown>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<T>;
  /** Uses the session now, so that it ends later. In cookie mode it finds out whether the browser has one. */
  refresh(): Promise<Session>;
  /** The session as this client knows it. */
  readonly session: Session | undefined;
  readonly clientes: Clientes;
  /**
   * Calls `each` for every change after a cursor: "0" for the beginning, undefined for from now on. It waits for each
   * call, refreshes the token, and goes on after every break until `each` returns false. It returns the last cursor.
   * After an abort, a logout or the login of somebody else `each` is not called any more. It rejects with the reason of `signal`, with an error of `each`, or with a refusal: "invalid_parameter" means that
   * the database was replaced, so begin again with "0" and an empty copy.
   */
  follow(
    since: string | undefined,
    each: (change: FeedChange, cursor: string | undefined) => unknown,
    options?: FollowOptions,
  ): Promise<string | undefined>;
}

/**
 * The solution of a puzzle, to be sent as `captcha` with the next try of a sign-up or a forgotten password. `challenge`
 * is that of the error. The page stays alive meanwhile.
 */
export function solve(challenge: string, options?: Pick<LoginOptions, "onPuzzle" | "signal">): Promise<string>;

/** One login at the server with this origin; "" is the page's own. */
export function connect(server: string, options?: Options): Client;
