//! Kahan summation in Neumaier's form, as Prometheus sums: the error of each addition is carried along.

/// A running sum and the error it has gathered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    /// The sum as plain addition gives it.
    pub sum: f64,
    /// What plain addition lost.
    pub error: f64,
}

impl Sum {
    /// Adds one number.
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.error = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.error += (self.sum - total) + value;
        } else {
            self.error += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// The corrected sum.
    pub fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.error }
    }
}

/// A running mean that sums as long as the sum is finite, then goes on incrementally.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    /// The sum, or the mean once `incremental`.
    pub value: Sum,
    /// Numbers seen.
    pub count: f64,
    /// Whether the sum has overflowed.
    pub incremental: bool,
}

impl Mean {
    /// Takes one number in.
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.value;
            next.add(value);
            if self.count == 1.0 || !next.sum.is_infinite() {
                self.value = next;
                return;
            }
            self.incremental = true;
            self.value.sum /= self.count - 1.0;
            self.value.error /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        self.value.sum *= share;
        self.value.error *= share;
        self.value.add(value / self.count);
    }

    /// Takes in all that another mean has seen.
    pub fn merge(&mut self, other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        if !self.incremental && !other.incremental {
            let mut next = self.value;
            next.add(other.value.sum);
            next.error += other.value.error;
            if !next.sum.is_infinite() {
                self.value = next;
                self.count += other.count;
                return;
            }
        }
        let count = self.count + other.count;
        let mean = self.mean() * (self.count / count) + other.mean() * (other.count / count);
        *self = Self { value: Sum { sum: mean, error: 0.0 }, count, incremental: true };
    }

    /// The mean of what was seen.
    pub fn mean(&self) -> f64 {
        let Sum { sum, error } = self.value;
        if self.incremental {
            return self.value.total();
        }
        if sum.is_infinite() { sum / self.count } else { sum / self.count + error / self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mean, Sum};

    #[test]
    fn small_numbers_survive_between_large_ones() {
        let mut sum = Sum::default();
        for value in [1e100, 1.0, -1e100, 1.0] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn the_mean_of_numbers_whose_sum_overflows_is_finite() {
        let mut mean = Mean::default();
        for _ in 0..4 {
            mean.add(f64::MAX);
        }
        assert!((mean.mean() / f64::MAX - 1.0).abs() < 1e-12);
    }
}
