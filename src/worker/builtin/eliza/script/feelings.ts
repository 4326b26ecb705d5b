/** Owns the keywords about feelings and states of mind. */
import type { KeySource } from '../script.ts';

export const FEELING_KEYS: readonly KeySource[] = [
  {
    words: ['sad', 'unhappy', 'depressed', 'miserable', 'heartbroken', 'hopeless', 'gloomy', 'crying', 'cry'],
    rank: 12,
    rules: [
      ['* you are @sad *', 'I have no sadness of my own. Whose is it that you are thinking of?'],
      ['* i * @sad because +', 'If it were not for that, how would you be?', 'Has (4) made you (3) before?'],
      [
        '* i * @sad *',
        'I am sorry that you are (3). When did it begin?',
        'What does being (3) keep you from?',
        'Who else knows that you are (3)?',
        'Is there an hour of the day when it is lighter?',
      ],
      ['*', 'That sounds heavy. Do you want to tell me more?', 'What would bring a little comfort now?'],
    ],
  },
  {
    words: ['happy', 'glad', 'excited', 'proud', 'grateful', 'relieved', 'thrilled', 'delighted'],
    rank: 9,
    rules: [
      ['* not @glad *', '=sad'],
      ['* i * @glad that/because +', 'What makes it so good that (4)?', 'Since when have you been so (3) about it?'],
      ['* i * @glad about/of/for +', 'What is the best part of (4)?', 'With whom have you shared that?'],
      [
        '* i * @glad *',
        'How good that you are (3)! What brought it about?',
        'Where in your day do you notice being (3)?',
        'What would help it last?',
      ],
      ['*', 'That sounds like something good. Tell me more.', 'What makes the difference?'],
    ],
  },
  {
    words: ['angry', 'mad', 'furious', 'annoyed', 'frustrated', 'irritated', 'upset', 'jealous', 'bitter', 'anger'],
    rank: 12,
    rules: [
      [
        '* i * @angry at/with/about/of +',
        'What has (4) done to make you (3)?',
        'What would you say to (4) if nothing could go wrong?',
      ],
      [
        '* i * @angry *',
        'What sets it off when you are (3)?',
        'What does being (3) want you to do?',
        'Does anything help when you are (3)?',
      ],
      ['* you are @angry *', 'I do not get angry; it is one of my few talents. What is it that you feel?'],
      ['*', 'Anger often guards something. What might it be guarding here?', 'What happened just before that?'],
    ],
  },
  {
    words: [
      'afraid',
      'scared',
      'anxious',
      'nervous',
      'worried',
      'terrified',
      'frightened',
      'panicking',
      'fear',
      'anxiety',
      'worry',
      'panic',
    ],
    rank: 12,
    rules: [
      ['* you are @afraid *', 'Little can frighten me, except a full queue. What frightens you?'],
      [
        '* i * @afraid of/about/that +',
        'What would be the worst about (4)?',
        'Has (4) come close before?',
        'How likely do you think (4) is, on a calm day?',
      ],
      [
        '* i * @afraid *',
        'What are you (3) of, as exactly as you can say it?',
        'Where in your body do you feel it when you are (3)?',
        'What has helped when you were (3) before?',
      ],
      [
        '*',
        'What is the fear about?',
        'What would you do if you were not afraid?',
        'What would have to happen for it to let go of you?',
      ],
    ],
  },
  {
    words: ['tired', 'exhausted', 'stressed', 'overwhelmed', 'drained', 'overworked', 'stress', 'burnout'],
    rank: 10,
    rules: [
      ['* i * tired of +', 'When did (3) stop being bearable?', 'What keeps you with (3) all the same?'],
      [
        '* i * @worn *',
        'What has taken so much out of you?',
        'If you could put one thing down today, which would it be?',
        'When were you last not (3)?',
      ],
      ['*', 'That sounds like a lot. What weighs the most?', 'What would a good rest look like?'],
    ],
  },
  {
    words: ['lonely', 'alone', 'isolated', 'loneliness'],
    rank: 11,
    rules: [
      ['* leave me alone *', 'As you wish. I will wait until you write again.'],
      [
        '* i * lonely/alone/isolated *',
        'Since when have you felt so?',
        'Whose company do you miss?',
        'Is it being without people, or being without a certain one?',
      ],
      ['*', 'What does being alone mean to you?', 'Is there solitude that you enjoy, too?'],
    ],
  },
  {
    words: ['bored', 'boredom'],
    rank: 7,
    rules: [
      [
        '*',
        'What used to hold your interest?',
        'If boredom is a wish in disguise, what does it wish for?',
        'What would you do with a free day and no one watching?',
      ],
    ],
  },
  {
    words: ['guilty', 'guilt', 'ashamed', 'shame', 'fault', 'blame', 'embarrassed', 'regret'],
    rank: 10,
    rules: [
      ['* not my fault *', 'Who says that it is?', 'Whose do you think it is?'],
      ['* my fault *', 'How much of it was truly in your hands?', 'Who else had a part in it?'],
      ['* i regret +', 'What would you do instead of (2), knowing what you know?', 'What did you need at the time?'],
      [
        '*',
        'Would you judge a friend as strictly?',
        'What would making up for it look like?',
        'How long do you mean to hold it against yourself?',
      ],
    ],
  },
  {
    words: ['feel', 'feeling', 'feels', 'felt'],
    rank: 5,
    rules: [
      [
        '* do you feel *',
        'I have rules where you have feelings. What do you feel?',
        'Not as you do. What made you wonder?',
      ],
      ['* i feel like +', 'What is it like, feeling like (2)?', 'When else have you felt like (2)?'],
      ['* i feel that +', 'What tells you that (2)?', 'Has anybody else noticed that (2)?'],
      [
        '* i feel/felt +',
        'Tell me more about feeling (2).',
        'Do you often feel (2)?',
        'When do you feel (2) the most?',
        'What do you do when you feel (2)?',
      ],
      ['* feeling +', 'What brought on that feeling?', 'How long have you been feeling (2)?'],
      ['*', 'Which feeling comes first?', 'What would you call that feeling if it had a name?'],
    ],
  },
  {
    words: ['love', 'loved', 'loves', 'adore'],
    rank: 9,
    rules: [
      [
        '* i love you *',
        'That is kind. I am easy to love, since I never leave dishes. Whom else do you love?',
        'Thank you. What is it that you find here?',
      ],
      [
        '* i love/adore +',
        'What do you love most about (2)?',
        'How do you show (2) that?',
        'When did you notice that you love (2)?',
      ],
      ['* loves me *', 'How do you know it?', 'What does it change, to be loved?'],
      ['*', 'What does love mean to you?', 'Has it always been like that?'],
    ],
  },
  {
    words: ['hate', 'hates', 'dislike', 'despise', 'loathe'],
    rank: 9,
    rules: [
      ['* hates me *', 'What makes you think so?', 'How do you notice it?'],
      ['* i hate you *', 'That is all right; you may. What did I do?', 'Is it me, or do I remind you of somebody?'],
      ['* you hate me *', 'I could not if I tried. What gave you that impression?', 'Who else makes you feel hated?'],
      [
        '* i hate/dislike/despise/loathe myself *',
        'Those are hard words. What would someone who loves you answer?',
        'When did you begin to think so of yourself?',
      ],
      [
        '* i hate/dislike/despise/loathe +',
        'What is it about (2) that you cannot stand?',
        'Was there a time when you did not mind (2)?',
        'What would you have in the place of (2)?',
      ],
      ['*', 'Hate takes a lot of strength. What feeds it?', 'What is beneath it?'],
    ],
  },
];
