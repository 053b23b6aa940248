/* The life of a request between a ledger's memory, its disk and a client that retries, with crashes
 * at any point: what docs/adr/0025 promises, small enough to look at every order of events.
 *
 * The ledger applies to memory, writes the batch, syncs, and answers. A crash forgets memory and what
 * was not synced; replay makes memory from the disk. Commands carry ids: RESERVE, ACCRUE, SETTLE,
 * EXPIRE, RELEASE, CONVICT of one request, each sent any number of times.
 *
 * MUTANT selects a fault that the properties must find (docs/proofs/run):
 *   1 answers before the sync          2 applies a retry twice
 *   3 a half conviction can be written 4 expiry does not close the request */
#ifndef MUTANT
#define MUTANT 0
#endif
#define QUOTE 4
#define SHARE 2 /* of one window: one for an honest stage, one for the liar */
#define RESERVE 1
#define ACCRUE 2
#define SETTLE 3
#define RELEASE 4
#define CONVICT 5
#define EXPIRE 6
#define KINDS 7

typedef book {
  byte free;    /* the payer */
  byte escrow;
  byte honest_pending;
  byte liar_pending;
  byte paid;    /* released to both */
  bool open;
  bool accrued;
  bool done[KINDS]
};

book memory;
book disk;           /* what replay of the synced log gives */
bool dirty;          /* memory is ahead of the disk */
byte pending_answer; /* the kind whose answer waits for the sync */
bool promised[KINDS]; /* the client was told that it lasts */
byte crashes;

#define total(b) (b.free + b.escrow + b.honest_pending + b.liar_pending + b.paid)

inline copy(to, from) {
  to.free = from.free; to.escrow = from.escrow; to.honest_pending = from.honest_pending;
  to.liar_pending = from.liar_pending; to.paid = from.paid; to.open = from.open;
  to.accrued = from.accrued;
  to.done[RESERVE] = from.done[RESERVE]; to.done[ACCRUE] = from.done[ACCRUE];
  to.done[SETTLE] = from.done[SETTLE]; to.done[RELEASE] = from.done[RELEASE];
  to.done[CONVICT] = from.done[CONVICT]; to.done[EXPIRE] = from.done[EXPIRE]
}

inline close_request() {
  memory.free = memory.free + memory.escrow; memory.escrow = 0;
#if MUTANT != 4
  memory.open = false
#else
  skip
#endif
}

/* Whole, or not at all. */
inline apply(kind) {
  if
  :: kind == RESERVE && memory.free >= QUOTE && !memory.open && !memory.done[SETTLE] && !memory.done[EXPIRE] ->
       memory.free = memory.free - QUOTE; memory.escrow = memory.escrow + QUOTE;
       memory.open = true; applied = true
  :: kind == ACCRUE && memory.open && memory.escrow >= SHARE ->
       memory.escrow = memory.escrow - SHARE; memory.honest_pending = memory.honest_pending + 1;
       memory.liar_pending = memory.liar_pending + 1; memory.accrued = true; applied = true
  :: kind == SETTLE && memory.open -> close_request(); applied = true
  :: kind == EXPIRE && memory.open -> close_request(); applied = true
  :: kind == RELEASE && memory.accrued && !memory.done[CONVICT] ->
       memory.paid = memory.paid + memory.honest_pending + memory.liar_pending;
       memory.honest_pending = 0; memory.liar_pending = 0; applied = true
  :: kind == CONVICT && memory.accrued && !memory.done[RELEASE] ->
       /* the consumer gets the window back; the honest stage is paid from elsewhere, not shown */
       memory.free = memory.free + memory.liar_pending; memory.liar_pending = 0;
#if MUTANT == 3
       if
       :: crashes == 0 -> copy(disk, memory); disk.done[CONVICT] = false; crash()
       :: true
       fi;
#endif
       memory.free = memory.free + memory.honest_pending; memory.honest_pending = 0;
       applied = true
  :: else -> skip
  fi
}

inline crash() {
  crashes++; copy(memory, disk); dirty = false; pending_answer = 0
}

active proctype ledger() {
  byte kind;
  bool applied;
  memory.free = QUOTE; copy(disk, memory);
  do
  :: !dirty -> /* a command arrives: new, or a retry of an old one */
     atomic {
       applied = false;
       select(kind : RESERVE .. EXPIRE);
       if
       :: memory.done[kind] && MUTANT != 2 -> promised[kind] = true /* the first answer again */
       :: else ->
          apply(kind);
          if
          :: applied -> memory.done[kind] = true; dirty = true; pending_answer = kind
          :: else -> skip
          fi
       fi
     }
#if MUTANT == 1
     if :: pending_answer != 0 -> promised[pending_answer] = true :: else fi
#endif
  :: dirty -> atomic { /* the sync */
       copy(disk, memory); dirty = false; promised[pending_answer] = true; pending_answer = 0
     }
  :: crashes < 2 -> atomic { crash() }
  od
}

/* 1 conservation */
ltl conserved { [] (total(disk) == 0 || total(disk) == QUOTE) }
/* 2 what was promised lasts */
ltl lasting { [] ((promised[RESERVE] -> disk.done[RESERVE]) && (promised[ACCRUE] -> disk.done[ACCRUE]) && (promised[CONVICT] -> disk.done[CONVICT]) && (promised[SETTLE] -> disk.done[SETTLE])) }
/* 3 a window is released or taken back, and taken back whole */
ltl whole { [] ((disk.done[CONVICT] || disk.liar_pending == disk.honest_pending) && !(disk.done[CONVICT] && (disk.liar_pending > 0 || disk.paid > 0))) }
/* 4 a closed request holds nothing, and stays closed */
ltl closed { [] ((disk.done[SETTLE] || disk.done[EXPIRE]) -> (disk.escrow == 0 && !disk.open)) }
/* 5 at most once */
ltl once { [] (disk.paid + disk.liar_pending + disk.honest_pending <= SHARE) }
