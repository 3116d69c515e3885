//! Limits on the exports of one caller.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{Export, Status};

/// The time in which [`CallerLimits::daily`] exports may start.
pub const DAILY_WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// When a caller whose exports are all running may ask again. Nobody knows when one of them ends.
const RETRY_WHILE_RUNNING: SignedDuration = SignedDuration::from_mins(1);

/// How many exports a caller may have. 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerLimits {
    /// That run at the same time.
    pub running: u32,
    /// That start within [`DAILY_WINDOW`].
    pub daily: u32,
}

impl CallerLimits {
    /// No limits.
    pub const NONE: Self = Self { running: 0, daily: 0 };
}

impl Default for CallerLimits {
    fn default() -> Self {
        Self { running: 3, daily: 50 }
    }
}

/// What a caller has used of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The limit.
    pub limit: u32,
    /// How many exports count.
    pub used: u32,
    /// In how many seconds one of them counts no more, if that is known.
    pub reset: Option<u64>,
}

impl Quota {
    /// How many exports may still start.
    #[must_use]
    pub fn remaining(self) -> u32 {
        self.limit.saturating_sub(self.used)
    }
}

/// What a caller has used of their limits; `None` where there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallerQuotas {
    /// Of the running exports.
    pub running: Option<Quota>,
    /// Of the exports of the last day.
    pub daily: Option<Quota>,
}

impl CallerQuotas {
    /// Counts the exports of a caller at `now`. An export counts as running until it ends or its lease expires. `exports`
    /// has at least the running ones, and the newest of them up to the daily limit.
    pub fn count(limits: CallerLimits, exports: impl IntoIterator<Item = Export>, now: Timestamp) -> Self {
        let (mut running, mut started) = (0, Vec::new());
        for export in exports {
            started.push(export.started_at);
            running += u32::from(export.as_of(now).status == Status::Running);
        }
        started.sort_unstable_by(|a, b| b.cmp(a));
        let ages = started.into_iter().map(|at| now.duration_since(at)).take_while(|age| *age < DAILY_WINDOW);
        let counted: Vec<_> = ages.take(limits.daily as usize).collect();
        let reset = counted.last().map(|oldest| seconds(DAILY_WINDOW - *oldest));
        let used = u32::try_from(counted.len()).unwrap_or(u32::MAX);
        Self {
            running: (limits.running > 0).then_some(Quota {
                limit: limits.running,
                used: running,
                reset: None,
            }),
            daily: (limits.daily > 0).then_some(Quota { limit: limits.daily, used, reset }),
        }
    }

    /// The same after one more export has started.
    #[must_use]
    pub fn with_one_more(self) -> Self {
        let more = |quota: Quota| Quota { used: quota.used.saturating_add(1), ..quota };
        let daily = self.daily.map(more);
        Self {
            running: self.running.map(more),
            daily: daily.map(|daily| Quota { reset: daily.reset.or(Some(seconds(DAILY_WINDOW))), ..daily }),
        }
    }

    /// Whether no export may start now.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.exhausted().next().is_some()
    }

    /// In how many seconds an export may start again.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        let while_running = seconds(RETRY_WHILE_RUNNING);
        self.exhausted().map(|quota| quota.reset.unwrap_or(while_running)).max().unwrap_or(0)
    }

    fn exhausted(&self) -> impl Iterator<Item = Quota> {
        [self.daily, self.running].into_iter().flatten().filter(|quota| quota.remaining() == 0)
    }
}

/// Which limit is reached, and what to do.
impl fmt::Display for CallerQuotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.daily, self.running) {
            (Some(daily), _) if daily.remaining() == 0 => {
                write!(
                    f,
                    "you have started {} exports within 24 hours, as many as allowed: start the next in {}",
                    daily.limit,
                    hours_and_minutes(self.retry_after())
                )
            }
            (_, Some(running)) => write!(
                f,
                "{} of your exports are running, as many as allowed: wait until one ends, or cancel one",
                running.used
            ),
            (_, None) => f.write_str("you have too many exports: try again later"),
        }
    }
}

/// A time of `seconds`, rounded up to minutes.
fn hours_and_minutes(seconds: u64) -> String {
    let count = |count: u64, unit: &str| match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    };
    let minutes = seconds.div_ceil(60).max(1);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => count(minutes, "minute"),
        (hours, 0) => count(hours, "hour"),
        (hours, minutes) => format!("{} and {}", count(hours, "hour"), count(minutes, "minute")),
    }
}

fn seconds(duration: SignedDuration) -> u64 {
    let up = i64::from(duration.subsec_nanos() > 0);
    u64::try_from(duration.as_secs() + up).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{ExportId, LAUNCH_LEASE, Transition},
        testing::fixtures,
    };

    fn started(at: i64) -> Export {
        fixtures::new_export(ExportId::random(), fixtures::JOB, fixtures::time(at))
    }

    fn ended(at: i64) -> Export {
        let failure = Transition::Fail { claim: None, failure: fixtures::failure("x") };
        started(at).apply(&failure, fixtures::time(at)).unwrap()
    }

    #[test]
    fn an_export_that_ended_or_lost_its_lease_does_not_count_as_running() {
        let limits = CallerLimits { running: 2, daily: 0 };
        let lost = LAUNCH_LEASE.as_secs() + 1;
        let count = |exports: Vec<Export>| CallerQuotas::count(limits, exports, fixtures::time(lost));
        let quotas = count(vec![started(0), ended(lost), started(lost), started(lost)]);
        assert_eq!((quotas.running.map(|quota| quota.used), quotas.daily), (Some(2), None));
        assert!(quotas.is_exhausted());
        assert_eq!(quotas.retry_after(), 60);
        assert!(quotas.to_string().starts_with("2 of your exports are running"), "{quotas}");
        assert!(!count(vec![started(0), ended(lost), started(lost)]).is_exhausted());
    }

    #[test]
    fn a_day_ends_24_hours_after_the_oldest_export_that_counts() {
        let limits = CallerLimits { running: 0, daily: 2 };
        let day = DAILY_WINDOW.as_secs();
        let count =
            |now| CallerQuotas::count(limits, [ended(0), ended(100), ended(200)], fixtures::time(now));
        let full = count(200);
        assert_eq!((full.is_exhausted(), full.retry_after()), (true, (day - 100) as u64));
        assert!(full.to_string().starts_with("you have started 2 exports within 24 hours"), "{full}");
        assert!(count(day + 99).is_exhausted());
        let free = count(day + 100);
        assert_eq!(free.daily, Some(Quota { limit: 2, used: 1, reset: Some(100) }));
        assert_eq!(free.with_one_more().daily.unwrap().remaining(), 0);
    }

    #[test]
    fn a_message_has_hours_and_minutes() {
        for (seconds, expected) in [
            (1, "1 minute"),
            (61, "2 minutes"),
            (3_600, "1 hour"),
            (7_260, "2 hours and 1 minute"),
            (86_340, "23 hours and 59 minutes"),
            (86_398, "24 hours"),
        ] {
            assert_eq!(hours_and_minutes(seconds), expected);
        }
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let quotas = CallerQuotas::count(CallerLimits::NONE, [started(0)], fixtures::time(1));
        assert_eq!(quotas, CallerQuotas::default());
        assert!(!quotas.is_exhausted() && !quotas.with_one_more().is_exhausted());
    }
}
