//! How long a call computes, and how calls that compute for long take turns.
//!
//! Epochs only measure wall time, so the meter adds up the time between the host entering the guest and the guest
//! giving the thread back. At each tick of the engine's clock a guest that has computed for more than a tick gives
//! its thread back and queues for one of a few **turns**: a crowd of runaway guests thus never takes every core, and
//! short calls between them keep their latency.
//!
//! A flow's call drives the calls of the connectors it uses, each with a meter of its own: what an inner call
//! computes is charged to it alone, so that a connector that never ends is stopped before its flow is.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often the engine's clock ticks: the longest a guest computes without giving its thread back.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The most that is charged for one stretch of computing. A guest is interrupted at each tick, so that a longer
/// stretch means that the system had taken the thread away, which is not the guest's doing.
const LONGEST_STRETCH: Duration = Duration::from_millis(20);

thread_local! {
    /// How long calls inside the one that this thread is driving have computed in its present stretch.
    static INNER: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Measures one call.
pub(super) struct CpuMeter {
    budget: Duration,
    turns: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: Duration,
    since: Option<Instant>,
    turn: Option<OwnedSemaphorePermit>,
}

impl State {
    fn used(&self) -> Duration {
        let stretch = |since: Instant| since.elapsed().saturating_sub(INNER.get()).min(LONGEST_STRETCH);
        self.used + self.since.map_or(Duration::ZERO, stretch)
    }
}

impl CpuMeter {
    pub(super) fn new(budget: Duration, turns: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self { budget, turns, state: Mutex::default() })
    }

    /// Drives a call and adds up the time it computes.
    pub(super) async fn measure<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        poll_fn(|context| {
            let began = Instant::now();
            let inner_of_outer = INNER.replace(Duration::ZERO);
            self.state().since = Some(began);
            let polled = call.as_mut().poll(context);
            let mut state = self.state();
            state.used = state.used();
            state.since = None;
            INNER.set(inner_of_outer + began.elapsed());
            // Whoever gives the thread back gives its turn back, too.
            state.turn = None;
            polled
        })
        .await
    }

    /// The time used so far.
    pub(super) fn used(&self) -> Duration {
        self.state().used()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.used() >= self.budget
    }

    /// Gives the thread back, then waits for a turn.
    pub(super) async fn take_turn(self: Arc<Self>) {
        tokio::task::yield_now().await;
        // The semaphore is never closed; without a turn the guest would only be less polite.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        self.state().turn = turn;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_is_not_charged() {
        let meter = CpuMeter::new(Duration::from_millis(5), Arc::new(Semaphore::new(1)));
        meter.measure(tokio::time::sleep(Duration::from_millis(30))).await;
        assert!(!meter.is_spent(), "used {:?}", meter.used());
    }

    #[tokio::test]
    async fn computing_is_charged_up_to_the_longest_stretch() {
        let meter = CpuMeter::new(Duration::from_millis(5), Arc::new(Semaphore::new(1)));
        let compute = async {
            let start = Instant::now();
            while start.elapsed() < 3 * LONGEST_STRETCH {
                std::hint::spin_loop();
            }
        };
        meter.measure(compute).await;
        assert!(meter.is_spent());
        assert!(meter.used() <= LONGEST_STRETCH, "used {:?}", meter.used());
    }

    #[tokio::test]
    async fn an_inner_call_is_charged_for_itself() {
        let meter = || CpuMeter::new(Duration::from_secs(1), Arc::new(Semaphore::new(1)));
        let (outer, inner) = (meter(), meter());
        let compute = |time: Duration| {
            let start = Instant::now();
            while start.elapsed() < time {
                std::hint::spin_loop();
            }
        };
        let (own, inners) = (Duration::from_millis(2), Duration::from_millis(15));
        outer
            .measure(async {
                inner.measure(async { compute(inners) }).await;
                compute(own);
            })
            .await;
        assert!(inner.used() >= inners, "used {:?}", inner.used());
        assert!(outer.used() >= own && outer.used() < inners, "used {:?}", outer.used());
    }

    #[tokio::test]
    async fn a_turn_ends_with_the_stretch() {
        let turns = Arc::new(Semaphore::new(1));
        let meter = CpuMeter::new(Duration::from_secs(1), Arc::clone(&turns));
        let seen = meter
            .measure(async {
                Arc::clone(&meter).take_turn().await;
                let during = turns.available_permits();
                tokio::task::yield_now().await;
                (during, turns.available_permits())
            })
            .await;
        assert_eq!(seen, (0, 1));
    }
}
