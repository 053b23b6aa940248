/* What stages are paid of a request when its scheduler dies, or settles, at any point: what
 * docs/adr/0028-claims.md promises. Two stages, two windows, and a reservation for three.
 *
 * The scheduler accrues the windows in order, and ends the request whenever it likes. What is left
 * then waits for claims (docs/adr/0036-sealed-pay.md). A stage claims what it stated when the
 * request is over for it. The keeper pays a window that both stages claim, and settles when claims
 * had time to come and none is left. It does not know whether a scheduler that says nothing is dead:
 * both may enter the same window.
 *
 * MUTANT selects a fault that the properties must find (docs/proofs/run):
 *   1 an accrual by claims has another id        2 one stage's claim is enough
 *   3 the keeper settles before claims came      4 only the scheduler settles
 *   5 what the scheduler ends is closed at once */
#ifndef MUTANT
#define MUTANT 0
#endif
#define WINDOWS 2
#define QUOTE 3

bool stated[4];  /* 2 * window + stage */
bool claimed[4];
byte paid[WINDOWS];    /* how often */
byte escrow = QUOTE;
byte back;             /* to the client */
bool settled;
bool ended;            /* by the scheduler */
bool dead;             /* the scheduler, for good */
bool over[2];          /* the request, at a stage */

#define both(of, w) (of[2 * (w)] && of[2 * (w) + 1])
#define no_claim_is_due (over[0] && over[1] && claimed[0] == stated[0] && claimed[1] == stated[1] && claimed[2] == stated[2] && claimed[3] == stated[3])
#define nothing_to_pay ((!both(claimed, 0) || paid[0] > 0) && (!both(claimed, 1) || paid[1] > 0))

inline settle() {
  back = escrow; escrow = 0; settled = true
}

active proctype scheduler() {
  byte accrued = 0;
  do
  :: accrued < WINDOWS && both(stated, accrued) ->
     atomic {
       if
       :: !settled && !ended && paid[accrued] == 0 -> paid[accrued]++; escrow--
       :: else -> skip /* it is entered already, which is as good */
       fi;
       accrued++
     }
  :: true -> ended = true; break
  :: true -> dead = true; break
  od
}

active proctype stages() {
  /* a path computes a window from its first stage to its last, and may end anywhere */
  byte w = 0;
  do
  :: w < WINDOWS && !dead -> stated[2 * w] = true; if :: stated[2 * w + 1] = true; w++ :: break fi
  :: true -> break
  od;
  over[0] = true; over[1] = true
}

active [2] proctype stage() {
  byte w = 0;
  over[_pid % 2];
  do
  :: w < WINDOWS -> claimed[2 * w + _pid % 2] = stated[2 * w + _pid % 2]; w++
  :: else -> break
  od
}

#if MUTANT == 2
#define may_pay(w) (claimed[2 * (w)] || claimed[2 * (w) + 1])
#else
#define may_pay(w) both(claimed, w)
#endif
#if MUTANT == 1
#define is_new(w) (paid[w] < 2)
#else
#define is_new(w) (paid[w] == 0)
#endif

active proctype keeper() {
  do
  :: atomic { !settled && escrow > 0 && may_pay(0) && is_new(0) -> paid[0]++; escrow-- }
  :: atomic { !settled && escrow > 0 && may_pay(1) && is_new(1) -> paid[1]++; escrow-- }
#if MUTANT == 3
  :: atomic { !settled && over[0] -> settle() }
#elif MUTANT == 4
  :: atomic { !settled && ended && no_claim_is_due && nothing_to_pay -> settle() }
#else
#if MUTANT == 5
  :: atomic { !settled && ended -> settle() }
#endif
  :: atomic { !settled && no_claim_is_due && nothing_to_pay -> settle() }
#endif
  :: settled -> break
  od
}

/* 1 a window is paid once, and only where both stages stated it */
ltl once { [] (paid[0] <= 1 && paid[1] <= 1) }
ltl stated_by_all { [] ((paid[0] == 0 || both(stated, 0)) && (paid[1] == 0 || both(stated, 1))) }
/* 2 credits are conserved */
ltl conserved { [] (escrow + back + paid[0] + paid[1] == QUOTE) }
/* 3 what both stated is paid, whatever becomes of the scheduler */
ltl paid_in_the_end { [] ((settled && over[0]) -> ((!both(stated, 0) || paid[0] == 1) && (!both(stated, 1) || paid[1] == 1))) }
/* 4 and the client gets the rest back */
ltl settled_in_the_end { <> settled }
