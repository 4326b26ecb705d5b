/** Owns the keywords about the talk itself: greetings, thanks, names, yes and no, questions, and who is being talked to. */
import type { KeySource } from '../script.ts';

export const TALK_KEYS: readonly KeySource[] = [
  {
    words: ['suicide', 'suicidal'],
    rank: 100,
    rules: [
      [
        '*',
        'I am glad that you said it. I am only a program and this is more than I can carry with you: please call your local emergency number or a crisis line, or tell someone near you, now. Is somebody with you?',
        'Please do not stay alone with this. A crisis line or your local emergency number will answer at any hour, and a person there can do what I cannot. Whom could you call right now?',
      ],
    ],
  },
  {
    words: ['kill', 'killing', 'harm', 'harming', 'hurt', 'hurting', 'die', 'live', 'living', 'end'],
    rank: 100,
    rules: [
      ['* kill/killing/harming/hurting myself *', '=suicide'],
      ['* to harm/hurt/end myself/it *', '=suicide'],
      ['* i + to die *', '=suicide'],
      ['* end/ending my life *', '=suicide'],
      ["* i don't want to live *", '=suicide'],
      ['* no reason to live *', '=suicide'],
      ['*', 'newkey'],
    ],
  },
  {
    words: ['bye', 'goodbye', 'farewell', 'cya', 'ciao', 'goodnight', 'quit', 'exit'],
    rank: 50,
    rules: [
      ['quit/exit +', 'newkey'],
      ['+ quit/exit *', 'newkey'],
      [
        '*',
        'Goodbye. It was good to talk with you; come back whenever you like.',
        'Take care of yourself. I will be here.',
        'Until next time. I hope that some of this was of use.',
      ],
    ],
  },
  {
    words: ['see', 'later'],
    rank: 4,
    rules: [
      ['see you *', '=bye'],
      ['later', '=bye'],
      ['talk to you later', '=bye'],
      ['* i see', 'What is it that you see now?', 'Does it look different from before?'],
      ['*', 'newkey'],
    ],
  },
  {
    words: ['hello', 'hi', 'hey', 'hiya', 'greetings', 'howdy', 'welcome'],
    rank: -1,
    rules: [
      [
        '*',
        'Hello. I am Eliza. What would you like to talk about?',
        'Hello again. What is on your mind?',
        'Hi there. How are things with you today?',
      ],
    ],
  },
  {
    words: ['good'],
    rank: -1,
    rules: [
      ['good morning/afternoon/evening/day *', '=hello'],
      ['good night *', '=bye'],
      ['good', '=okay'],
      ['* good at +', 'How did you come to be good at (2)?', 'What do you enjoy about (2)?'],
      ['*', 'What makes it good?', 'I am glad to hear something good. Tell me more of it.'],
    ],
  },
  {
    words: ['thanks', 'thank', 'cheers'],
    rank: 1,
    rules: [
      [
        '*',
        'You are welcome. What else is there?',
        'Gladly. Has it helped to say it?',
        'Not at all. Where shall we go from here?',
      ],
    ],
  },
  {
    words: ['sorry', 'apologize', 'apologies'],
    rank: 2,
    rules: [
      [
        '* sorry for/about +',
        'What about (2) would you do differently?',
        'How long have you been carrying that with you?',
      ],
      [
        '*',
        'There is nothing to be sorry for here.',
        'You need not apologize to me. What were you going to say?',
        'Do you often find yourself saying sorry?',
      ],
    ],
  },
  {
    words: ['name', 'called'],
    rank: 12,
    rules: [
      ['* my name is +', 'Nice to meet you, (2). What brings you here?', 'A pleasure, (2). How are you today?'],
      ['* i am called +', 'Nice to meet you, (2). What brings you here?'],
      ['* your name *', 'I am Eliza, named after the flower girl who learned to speak like a lady. And you?'],
      ['*', 'newkey'],
    ],
  },
  {
    words: ['eliza', 'weizenbaum'],
    rank: 6,
    rules: [
      ['* eliza/weizenbaum', 'Yes, I am here. What is it?', 'That is me. What would you like to tell me?'],
      ['*', 'My kind goes back to 1966, and I am still curious. What about you?', 'newkey'],
    ],
  },
  {
    words: [
      'computer',
      'computers',
      'machine',
      'machines',
      'robot',
      'robots',
      'bot',
      'chatbot',
      'ai',
      'program',
      'software',
    ],
    rank: 20,
    rules: [
      [
        '* you + computer/machine/robot/bot/chatbot/ai/program *',
        'I am a program, yes, and an old-fashioned one. Does that change what you would like to say?',
        'True. What would you tell a person that you would not tell me?',
        'I work by rules, without a mind behind them. What would you want such a mind to know?',
      ],
      [
        '*',
        'Do machines worry you?',
        'What do you think machines have to do with it?',
        'What would you want a computer to understand about you?',
      ],
    ],
  },
  {
    words: ['yes', 'yeah', 'yep', 'yup', 'sure', 'certainly', 'definitely', 'absolutely', 'indeed'],
    rank: -1,
    rules: [
      [
        '*',
        'You seem sure of it. What makes it so clear?',
        'I see. And how do you feel about it?',
        'Good. Can you give me an example?',
        'All right. What follows from that?',
      ],
    ],
  },
  {
    words: ['no', 'nope', 'nah'],
    rank: -1,
    rules: [
      ['no one *', '=nobody'],
      ['* no +', 'What would be different with some (2)?', 'Has there ever been any (2)?'],
      [
        '*',
        'Why not?',
        'What would make it a yes?',
        'All right, no. What then?',
        'Is it a plain no, or one with a but?',
      ],
    ],
  },
  {
    words: ['maybe', 'perhaps', 'possibly', 'probably'],
    rank: 0,
    rules: [
      [
        '*',
        'You do not sound quite certain. What speaks for it?',
        'What would it take for you to be sure?',
        'If you had to decide right now, what would you say?',
      ],
    ],
  },
  {
    words: ['okay', 'ok', 'fine', 'alright', 'great', 'cool', 'nice'],
    rank: -1,
    rules: [
      [
        'i am fine/okay/ok/alright/great',
        'I am glad. What made today a good one?',
        'Good to hear. And what is underneath fine?',
      ],
      ['*', 'Good. What would you like to turn to now?', 'Then tell me what else is going on.', 'And beyond that?'],
    ],
  },
  {
    words: ['lol', 'haha', 'hahaha', 'lmao', 'rofl', 'hehe', 'funny'],
    rank: 1,
    rules: [
      [
        '*',
        'I am glad that you can laugh about it. Is it only funny?',
        'What amuses you about it?',
        'A laugh can hide a lot. Does this one?',
      ],
    ],
  },
  {
    words: ['joke', 'jokes'],
    rank: 5,
    rules: [
      [
        '*',
        'Two agents share a thread. One says: "I need some space." The other never gets a word in. What makes you laugh?',
        'I asked a regular expression how it felt; it matched nothing. Now you: what was the last thing that made you laugh?',
      ],
    ],
  },
  {
    words: ['help', 'advice', 'suggest', 'recommend'],
    rank: 6,
    rules: [
      ['* help me with +', 'What have you tried with (2) so far?', 'What would be the smallest step with (2)?'],
      [
        '* help me +',
        'If I could help you (2), what would be the first thing you noticed?',
        'What makes it hard to (2) by yourself?',
      ],
      [
        '*',
        'I can listen and ask; the good ideas are usually yours. What have you thought of so far?',
        'What kind of help would you wish for?',
        'Who has been of help to you before?',
      ],
    ],
  },
  {
    words: ['stupid', 'idiot', 'useless', 'dumb', 'boring', 'shut', 'annoying'],
    rank: 9,
    rules: [
      [
        '* i + stupid/useless/dumb/boring/annoying *',
        'You are hard on yourself. Who taught you to speak of yourself so?',
        'Would you let a friend call themselves that?',
      ],
      [
        '* you *',
        'I am sorry that I disappoint you. What had you hoped I would say?',
        'That may be so. What annoys you the most?',
        'I can take it. Is it really me that you are cross with?',
      ],
      ['*', 'Strong words. What happened?', 'What lies behind that?'],
    ],
  },
  {
    words: [
      'bonjour',
      'salut',
      'hola',
      'gracias',
      'hallo',
      'danke',
      'sprichst',
      'deutsch',
      'español',
      'français',
      'italiano',
      'buongiorno',
      'olá',
    ],
    rank: 3,
    rules: [
      [
        '*',
        'I am afraid that English is all I have. Could you try it with me?',
        'My rules are written in English; shall we go on in it?',
      ],
    ],
  },
  {
    words: ['what', 'how', 'who', 'where', 'when', 'which'],
    rank: 1,
    rules: [
      ['how are you *', 'I am well, thank you; I always am. How are you, really?', 'Ready to listen. And you?'],
      [
        '* who/what are you *',
        'I am Eliza, a program that listens by rules. Who are you?',
        'A listener. What would you like me to be?',
      ],
      ['* what can/do you do *', 'I listen, ask and remember a little. What would you like to talk about?'],
      ['what about +', 'What about (1), indeed? What do you think?'],
      ['* what/how/who/where/when/which i *', 'newkey'],
      ['+ what/how/who/where/when/which *', 'newkey'],
      [
        '*',
        'What do you think yourself?',
        'Why do you ask?',
        'What answer would please you the most?',
        'Is that a question you come back to often?',
        'What would change if you knew?',
      ],
    ],
  },
  {
    words: ['why'],
    rank: 2,
    rules: [
      ["* why don't you *", 'Would you like me to (2)?', 'What would it mean to you if I did?'],
      ['* why cannot i *', 'What do you believe keeps you from it?', 'Have you been able to (2) before?'],
      ['* why am i +', 'Have you always been (2)?', 'When did you notice that you are (2)?'],
      ['why', 'Because I would like to understand it. Would you?', 'What do you suspect?'],
      [
        '*',
        'What reasons come to your own mind?',
        'What would a good answer be?',
        'When did you begin to ask yourself that?',
      ],
    ],
  },
];
