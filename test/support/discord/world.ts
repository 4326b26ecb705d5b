/** Owns what a Discord test server knows: users, guilds, rooms and what was said in them. It speaks no protocol. */

const EPOCH = 1_420_070_400_000n;
let sequence = 0n;

/** Makes an id as Discord does: its age is in its first bits. */
export function snowflake(at: number = Date.now()): string {
  sequence = (sequence + 1n) & 0x3f_ffffn;
  return String(((BigInt(at) - EPOCH) << 22n) | sequence);
}

export interface TestUser {
  readonly id: string;
  readonly username: string;
  readonly global_name: string | null;
  readonly discriminator: string;
  readonly avatar: null;
  readonly bot?: boolean;
}

export interface TestRoom {
  readonly id: string;
  readonly name: string;
  /** 0 text, 1 private, 11 a public thread. */
  readonly type: 0 | 1 | 11;
  readonly guildId?: string;
  readonly parentId?: string;
  /** Of a private one. */
  readonly user?: TestUser;
  readonly messages: TestMessage[];
}

export interface TestGuild {
  readonly id: string;
  readonly name: string;
  readonly rooms: TestRoom[];
}

export interface TestMessage {
  readonly id: string;
  readonly channel_id: string;
  readonly guild_id?: string;
  readonly author: TestUser;
  content: string;
  readonly timestamp: string;
  edited_timestamp: string | null;
  readonly mentions: readonly TestUser[];
  readonly attachments: readonly {
    readonly id: string;
    readonly filename: string;
    readonly url: string;
    readonly content_type?: string;
    readonly size: number;
  }[];
  readonly nonce?: string;
  readonly message_reference?: { readonly message_id: string };
  readonly referenced_message?: TestMessage;
  readonly tts: false;
  readonly mention_everyone: false;
  readonly mention_roles: readonly string[];
  readonly embeds: readonly [];
  readonly pinned: false;
  readonly type: 0 | 19;
}

export interface Said {
  readonly user?: TestUser;
  readonly room: TestRoom;
  readonly content: string;
  readonly nonce?: string;
  readonly replyTo?: string;
  readonly attachments?: TestMessage['attachments'];
}

export function makeUser(username: string, bot = false): TestUser {
  return {
    id: snowflake(),
    username,
    global_name: null,
    discriminator: '0',
    avatar: null,
    ...(bot ? { bot } : {}),
  };
}

export class World {
  readonly self: TestUser = makeUser('orrery', true);
  readonly alice: TestUser = makeUser('alice');
  readonly guild: TestGuild = { id: snowflake(), name: 'house', rooms: [] };
  readonly room: TestRoom;
  readonly dm: TestRoom;
  readonly #rooms = new Map<string, TestRoom>();

  constructor() {
    this.room = this.addRoom('hall');
    this.dm = this.addDm(this.alice);
  }

  get rooms(): readonly TestRoom[] {
    return [...this.#rooms.values()];
  }

  findRoom(id: string): TestRoom | undefined {
    return this.#rooms.get(id);
  }

  addRoom(name: string, parent?: TestRoom): TestRoom {
    const thread = parent === undefined ? {} : { parentId: parent.id };
    const room: TestRoom = {
      id: snowflake(),
      name,
      type: parent ? 11 : 0,
      guildId: this.guild.id,
      messages: [],
      ...thread,
    };
    this.guild.rooms.push(room);
    this.#rooms.set(room.id, room);
    return room;
  }

  addDm(user: TestUser): TestRoom {
    const room: TestRoom = { id: snowflake(), name: user.username, type: 1, user, messages: [] };
    this.#rooms.set(room.id, room);
    return room;
  }

  /** Adds a message; `<@ID>` in its text mentions. */
  add({ user = this.alice, room, content, nonce, replyTo, attachments = [] }: Said): TestMessage {
    const referenced = replyTo === undefined ? undefined : room.messages.find((m) => m.id === replyTo);
    const mentions = [this.self, this.alice].filter((u) => content.includes(`<@${u.id}>`));
    const message: TestMessage = {
      id: snowflake(),
      channel_id: room.id,
      author: user,
      content,
      timestamp: new Date().toISOString(),
      edited_timestamp: null,
      mentions,
      attachments,
      tts: false,
      mention_everyone: false,
      mention_roles: [],
      embeds: [],
      pinned: false,
      type: replyTo === undefined ? 0 : 19,
      ...(room.guildId === undefined ? {} : { guild_id: room.guildId }),
      ...(nonce === undefined ? {} : { nonce }),
      ...(replyTo === undefined ? {} : { message_reference: { message_id: replyTo } }),
      ...(referenced === undefined ? {} : { referenced_message: referenced }),
    };
    room.messages.push(message);
    return message;
  }
}

/** Writes a guild as the gateway announces it. */
export function guildCreate({ guild, self }: World): object {
  const roomOf = (room: TestRoom): object => ({
    id: room.id,
    name: room.name,
    type: room.type,
    position: 0,
    permission_overwrites: [],
    parent_id: room.parentId ?? null,
    last_message_id: room.messages.at(-1)?.id ?? null,
    ...(room.type === 11
      ? {
          guild_id: guild.id,
          owner_id: self.id,
          thread_metadata: {
            archived: false,
            auto_archive_duration: 60,
            archive_timestamp: new Date().toISOString(),
            locked: false,
          },
        }
      : {}),
  });
  return {
    id: guild.id,
    name: guild.name,
    owner_id: self.id,
    joined_at: new Date().toISOString(),
    large: false,
    unavailable: false,
    member_count: 2,
    features: [],
    emojis: [],
    stickers: [],
    presences: [],
    voice_states: [],
    stage_instances: [],
    guild_scheduled_events: [],
    soundboard_sounds: [],
    members: [{ user: self, roles: [], joined_at: new Date().toISOString(), deaf: false, mute: false, flags: 0 }],
    roles: [
      {
        id: guild.id,
        name: '@everyone',
        permissions: '0',
        position: 0,
        color: 0,
        hoist: false,
        managed: false,
        mentionable: false,
        flags: 0,
      },
    ],
    channels: guild.rooms.filter((room) => room.type === 0).map(roomOf),
    threads: guild.rooms.filter((room) => room.type === 11).map(roomOf),
  };
}
