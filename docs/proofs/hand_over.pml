/* Three keepers that agree by Raft and sign what is agreed: what docs/adr/0031-keepers-by-raft.md
 * promises, with crashes and elections at any point. An entry is named by the term it was made in;
 * a promise is an entry that two keepers signed at one index.
 *
 * Letters may be lost, late and doubled: each exchange below happens at any time, any number of
 * times, or never. Term, vote, log and signatures are on disk; the rest a crash forgets.
 *
 * MUTANT selects a fault that the properties must find (docs/proofs/run):
 *   1 a keeper signs what it has, agreed or not   2 entries of earlier terms count as agreed
 *   3 a crash forgets a vote                      4 any log is good enough for a vote */
#ifndef MUTANT
#define MUTANT 0
#endif
#define KEEPERS 3
#define CRASHES 1
#if MUTANT == 2 || defined(MANY_TERMS) /* an entry replaces one of two terms before */
#define TERMS 4
#define ENTRIES 1
#else
#define TERMS 3
#define ENTRIES 2
#endif

byte term[KEEPERS];
byte vote[KEEPERS];   /* keeper + 1, 0: none */
byte length[KEEPERS]; /* of the log */
byte entry[6];        /* 2 * keeper + index: its term */
byte word[6];   /* likewise: the entry that was signed, 0: none */
byte votes[KEEPERS];  /* of a candidate, as bits */
byte has[6];          /* of a leader: who has the entry, as bits */
byte agreed[KEEPERS]; /* entries */
bool stands[KEEPERS];
bool leads[KEEPERS];
byte promised[2];
byte crashes;
bool contradicted; /* a keeper signed two entries at one index, or two were promised */
bool lost;         /* a leader lacks what was promised */

#define at(k, i) (2 * (k) + (i))
#define most(bits) ((bits) == 3 || (bits) >= 5)
#define last_term(k) (length[k] == 0 -> 0 : entry[at(k, (length[k] == 0 -> 0 : length[k] - 1))])
#if MUTANT == 4
#define good_enough(k, s) true
#else
#define good_enough(k, s) (last_term(k) > last_term(s) || (last_term(k) == last_term(s) && length[k] >= length[s]))
#endif
#if MUTANT == 2
#define counts(k, i) true
#else
#define counts(k, i) (entry[at(k, i)] == term[k])
#endif
#if MUTANT == 1
#define may_sign(k, i) (i < length[k])
#else
#define may_sign(k, i) (i < agreed[k])
#endif

/* A keeper hears of a later term. */
inline hear(k, t) {
  if
  :: t > term[k] -> term[k] = t; vote[k] = 0; stands[k] = false; leads[k] = false; votes[k] = 0
  :: else
  fi
}

inline begin_to_lead(k) {
  stands[k] = false; leads[k] = true; votes[k] = 0;
  has[at(k, 0)] = (length[k] > 0 -> 1 << k : 0);
  has[at(k, 1)] = (length[k] > 1 -> 1 << k : 0);
  lost = lost || (promised[0] != 0 && (length[k] < 1 || entry[at(k, 0)] != promised[0])) || (promised[1] != 0 && (length[k] < 2 || entry[at(k, 1)] != promised[1]))
}

/* An entry and all before it. */
inline take(s, k, i) {
  if
  :: length[s] <= i || entry[at(s, i)] != entry[at(k, i)] ->
     entry[at(s, i)] = entry[at(k, i)]; length[s] = i + 1;
     if :: i == 0 -> entry[at(s, 1)] = 0 :: else fi
  :: else
  fi;
  has[at(k, i)] = has[at(k, i)] | (1 << s)
}

inline sign(k, i) {
  contradicted = contradicted || (word[at(k, i)] != 0 && word[at(k, i)] != entry[at(k, i)]);
  word[at(k, i)] = entry[at(k, i)];
  if
  :: word[at(k, i)] == word[at((k + 1) % 3, i)] || word[at(k, i)] == word[at((k + 2) % 3, i)] ->
     contradicted = contradicted || (promised[i] != 0 && promised[i] != word[at(k, i)]);
     promised[i] = word[at(k, i)]
  :: else
  fi
}

active proctype keepers() {
  byte k, s, i;
  do
  :: atomic {
       select(k : 0 .. 2); select(i : 1 .. 2); s = (k + i) % 3;
       if
       :: !leads[k] && term[k] < TERMS -> /* it stands for election */
          term[k] = term[k] + 1; vote[k] = k + 1; votes[k] = 1 << k; stands[k] = true
       :: stands[k] && term[s] <= term[k] -> /* s is asked for its vote */
          hear(s, term[k]);
          if
          :: (vote[s] == 0 || vote[s] == k + 1) && good_enough(k, s) ->
             vote[s] = k + 1; votes[k] = votes[k] | (1 << s);
             if :: most(votes[k]) -> begin_to_lead(k) :: else fi
          :: else
          fi
       :: leads[k] && length[k] < ENTRIES ->
          entry[at(k, length[k])] = term[k]; has[at(k, length[k])] = 1 << k; length[k] = length[k] + 1
       :: leads[k] && term[s] <= term[k] && length[k] > 0 -> /* s gets entries */
          hear(s, term[k]); stands[s] = false; votes[s] = 0;
          take(s, k, 0); i = 1;
          if :: length[k] > 1 -> take(s, k, 1); i = 2 :: true fi;
          if /* what was not compared is not agreed */
          :: agreed[k] > agreed[s] -> agreed[s] = (agreed[k] < i -> agreed[k] : i)
          :: else
          fi
       :: leads[k] && length[k] > agreed[k] && most(has[at(k, agreed[k])]) && counts(k, agreed[k]) ->
          agreed[k] = agreed[k] + 1
       :: leads[k] && length[k] == 2 && agreed[k] == 0 && most(has[at(k, 1)]) && counts(k, 1) ->
          agreed[k] = 2 /* and what is before it */
       :: may_sign(k, i - 1) -> sign(k, i - 1)
       :: crashes < CRASHES ->
          crashes++; stands[k] = false; leads[k] = false; votes[k] = 0; agreed[k] = 0;
#if MUTANT == 3
          vote[k] = 0
#else
          skip
#endif
       fi;
       /* what a keeper does not use must not make a new state */
       if :: !leads[k] -> has[at(k, 0)] = 0; has[at(k, 1)] = 0 :: else fi;
       if :: !leads[s] -> has[at(s, 0)] = 0; has[at(s, 1)] = 0 :: else fi;
       k = 0; s = 0; i = 0
     }
  od
}

/* a keeper signs one entry at a place, one is promised there, and each later leader has it */
ltl promises_last { [] !(contradicted || lost) }
