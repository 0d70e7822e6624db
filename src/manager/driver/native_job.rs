//! What a job of systemd's does to one of its units. A job can be asked only while it lasts, and many are over
//! at once; what such a one did is told by the states before and after.

use crate::manager::machine::{ActiveState, NativeJob};

/// A job as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Seen {
    /// There is none.
    #[default]
    None,
    /// There was one, which was over before it said what it does.
    Over,
    /// This one.
    Job(NativeJob),
}

/// How far down a unit is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Way {
    /// It is up.
    Up,
    /// It was up, and has been taken down by a job that is not known.
    Falling,
    /// It is not up, or may never have been.
    #[default]
    Down,
}

/// The course of one unit.
#[derive(Debug, Default)]
pub(super) struct Course {
    way: Way,
    /// The job of the state before.
    job: Seen,
}

impl Course {
    /// What comes now was not told in its order: what has been missed before is not known.
    pub(super) fn leap(&mut self) {
        *self = Self::default();
    }

    /// The unit has this state and this job now. Answers with a job that must have been there, and that nobody has
    /// been told of.
    pub(super) fn now(&mut self, state: ActiveState, job: Seen) -> Option<NativeJob> {
        let last = if job == Seen::None { self.job } else { job };
        let is_over = job == Seen::None && state.is_down();
        let before = std::mem::replace(&mut self.way, if state.is_up() { Way::Up } else { Way::Down });
        self.job = job;
        match (before, last) {
            (Way::Falling, _) if state.is_up() => Some(NativeJob::Restart),
            (Way::Down, _) => None,
            (Way::Up, _) if state.is_up() => None,
            // systemd makes a restart a start as soon as the unit is down.
            (_, Seen::Job(NativeJob::Start)) => Some(NativeJob::Restart),
            (_, Seen::Over) if state == ActiveState::Activating => Some(NativeJob::Restart),
            (Way::Falling, Seen::None) | (_, Seen::Over) if is_over => Some(NativeJob::Stop),
            // How this goes on will tell.
            (_, Seen::Over) => {
                self.way = Way::Falling;
                None
            }
            (_, Seen::None | Seen::Job(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has been missed in the course of these states.
    fn missed(states: &[(ActiveState, Seen)]) -> Vec<NativeJob> {
        let mut course = Course::default();
        states.iter().filter_map(|(state, job)| course.now(*state, *job)).collect()
    }

    const UP: (ActiveState, Seen) = (ActiveState::Active, Seen::None);

    #[test]
    fn an_end_by_itself_is_no_job() {
        assert_eq!(missed(&[UP, (ActiveState::Inactive, Seen::None)]), []);
        assert_eq!(
            missed(&[UP, (ActiveState::Deactivating, Seen::None), (ActiveState::Failed, Seen::None)]),
            []
        );
    }

    #[test]
    fn a_job_that_said_what_it_does_was_not_missed() {
        let stop = Seen::Job(NativeJob::Stop);
        assert_eq!(missed(&[UP, (ActiveState::Active, stop), (ActiveState::Inactive, Seen::None)]), []);
    }

    #[test]
    fn a_stop_that_was_over_at_once_is_told_by_its_end() {
        let begun = (ActiveState::Active, Seen::Over);
        assert_eq!(missed(&[UP, begun, (ActiveState::Inactive, Seen::None)]), [NativeJob::Stop]);
        let (stopping, down) = ((ActiveState::Deactivating, Seen::Over), (ActiveState::Inactive, Seen::Over));
        let over = (ActiveState::Inactive, Seen::None);
        assert_eq!(missed(&[UP, begun, stopping, down, over]), [NativeJob::Stop]);
    }

    #[test]
    fn a_start_that_takes_a_unit_down_was_a_restart() {
        let start = Seen::Job(NativeJob::Start);
        let begun = (ActiveState::Active, Seen::Over);
        assert_eq!(missed(&[UP, (ActiveState::Activating, start), UP]), [NativeJob::Restart]);
        assert_eq!(
            missed(&[UP, begun, (ActiveState::Deactivating, Seen::Over), (ActiveState::Activating, start)]),
            [NativeJob::Restart]
        );
        assert_eq!(missed(&[UP, begun, (ActiveState::Activating, Seen::Over), UP]), [NativeJob::Restart]);
    }

    #[test]
    fn what_was_read_anew_is_no_course() {
        let mut course = Course::default();
        course.now(ActiveState::Active, Seen::Over);
        course.leap();
        assert_eq!(course.now(ActiveState::Activating, Seen::Over), None);
    }

    #[test]
    fn a_unit_that_was_not_up_has_missed_nothing() {
        assert_eq!(missed(&[(ActiveState::Activating, Seen::Over), UP]), []);
        assert_eq!(missed(&[(ActiveState::Inactive, Seen::Over), (ActiveState::Inactive, Seen::None)]), []);
    }
}
