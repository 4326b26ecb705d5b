/** Owns the types of irc-framework, which brings none: of it, what the IRC channel uses. */
declare module 'irc-framework' {
  export interface ConnectOptions {
    host: string;
    port: number;
    nick: string;
    username: string;
    gecos: string;
    tls: boolean;
    rejectUnauthorized: boolean;
    password?: string;
    /** An empty one keeps the server's password from being used for SASL. */
    account: { account?: string; password?: string };
    sasl_disconnect_on_fail: boolean;
    auto_reconnect: boolean;
    /** Seconds. */
    ping_interval: number;
    ping_timeout: number;
    version: string;
  }

  export interface MessageEvent {
    from_server: boolean;
    nick: string;
    ident: string;
    hostname: string;
    target: string;
    message: string;
    tags: Record<string, string | undefined>;
    /** Unix time in milliseconds, where the server tells. */
    time?: number;
    account?: string;
    batch?: { type: string };
  }

  export interface Events {
    registered: [event: { nick: string }];
    loggedin: [event: { account: string }];
    privmsg: [event: MessageEvent];
    join: [event: { nick: string; ident: string; hostname: string; channel: string }];
    kick: [event: { kicked: string; nick: string; channel: string; message: string }];
    nick: [event: { nick: string; new_nick: string }];
    quit: [event: { nick: string }];
    'nick in use': [event: { nick: string; reason: string }];
    'nick invalid': [event: { nick: string; reason: string }];
    'sasl failed': [event: { reason: string; message?: string }];
    'irc error': [event: { error: string; reason?: string; nick?: string; channel?: string }];
    pong: [event: { message: string }];
    'socket close': [error: Error | false | undefined];
  }

  export class Client {
    readonly user: { nick: string };
    readonly connected: boolean;
    readonly network: { cap: { isEnabled(name: string): boolean } };
    readonly connection: { end(data: string | null, hadError?: boolean): void };
    connect(options: ConnectOptions): void;
    on<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this;
    removeAllListeners(): this;
    raw(...words: string[]): void;
    join(channel: string, key?: string): void;
    changeNick(nick: string): void;
    quit(message: string): void;
    caseLower(text: string): string;
    caseCompare(a: string, b: string): boolean;
  }
}
