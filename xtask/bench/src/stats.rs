//! Medians and such.

use std::time::Duration;

/// Times of one kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Half of them are at most this.
    pub(crate) fn median(&self) -> Duration {
        self.quantile(50)
    }

    /// 95 of 100 are at most this.
    pub(crate) fn p95(&self) -> Duration {
        self.quantile(95)
    }

    fn quantile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The nearest rank: a time that was measured, none in between.
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or_default()
    }
}

/// A time in milliseconds, as exact as makes sense.
pub(crate) fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// How many times as long.
pub(crate) fn ratio(time: Duration, base: Duration) -> String {
    match base.is_zero() || time.is_zero() {
        true => "–".into(),
        false => format!("{:.2}", time.as_secs_f64() / base.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut times = Times::default();
        assert_eq!(times.median(), Duration::ZERO);
        for n in (1..=20).rev() {
            times.add(Duration::from_millis(n));
        }
        assert_eq!((times.median(), times.p95()), (Duration::from_millis(10), Duration::from_millis(19)));
        assert_eq!(ms(Duration::from_micros(1234)), "1.2");
        assert_eq!(ratio(Duration::from_secs(3), Duration::from_secs(2)), "1.50");
    }
}
