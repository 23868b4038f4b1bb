//! The one place that polls. A test says what it waits for and for how long at most; nothing else ever sleeps.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Asks `probe` again and again until it answers `Ok`, and fails the test after `within`. `Err` is the state that
/// was seen instead: the last one is printed.
pub async fn wait_until<T>(
    within: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(state) if Instant::now() >= deadline => give_up(within, what, &state),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// [`wait_until`] for code that starts and ends servers, which is not async: it also runs while a test unwinds.
pub fn block_until<T>(within: Duration, what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        match probe() {
            Ok(value) => return value,
            Err(state) if Instant::now() >= deadline => give_up(within, what, &state),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn give_up(within: Duration, what: &str, state: &str) -> ! {
    panic!("waited {within:?} in vain until {what}; last seen: {state}")
}
