//! The damage found in one block, bounded: a block that is garbage from end to end makes a short report too.

use super::Damage;

/// More than this tells nobody more.
const MOST: usize = 10;

/// Collects damage.
#[derive(Default)]
pub(super) struct Findings {
    damage: Vec<Damage>,
    left_out: u64,
}

impl Findings {
    /// Damage that keeps Prometheus from starting, or makes it skip the block.
    pub(super) fn down(&mut self, file: &str, problem: &str) {
        self.push(Damage { file: file.into(), problem: problem.into(), keeps_prometheus_down: true });
    }

    /// Damage that Prometheus starts with: queries fail, or lack what is damaged.
    pub(super) fn note(&mut self, file: &str, problem: &str) {
        self.push(Damage { file: file.into(), problem: problem.into(), keeps_prometheus_down: false });
    }

    pub(super) fn push(&mut self, damage: Damage) {
        if self.damage.len() < MOST {
            self.damage.push(damage);
        } else {
            self.left_out += 1;
            // What keeps Prometheus down must not be lost among what does not.
            if damage.keeps_prometheus_down && !self.damage.iter().any(|d| d.keeps_prometheus_down) {
                self.damage[MOST - 1] = damage;
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.damage.is_empty()
    }

    pub(super) fn into_damage(mut self) -> Vec<Damage> {
        if let (Some(last), true) = (self.damage.last_mut(), self.left_out > 0) {
            last.problem = format!("{} (and {} more)", last.problem, self.left_out);
        }
        self.damage
    }
}
