//! What changes from one description of a mirror to another. Pure.

use std::collections::BTreeSet;
use std::fmt;

use crate::ground::config::Flow;
use crate::ground::names;

/// What a reload did with a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowChange {
    /// It goes on untouched.
    Unchanged,
    /// It selects other topics or groups, and goes on with those that it had.
    Filtered,
    /// Something else is different, or one of its clusters: it was stopped and started anew.
    Restarted,
    /// It was not there before.
    Started,
    /// It is not there any more.
    Stopped,
}

impl fmt::Display for FlowChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            FlowChange::Unchanged => "unchanged",
            FlowChange::Filtered => "filtered",
            FlowChange::Restarted => "restarted",
            FlowChange::Started => "started",
            FlowChange::Stopped => "stopped",
        })
    }
}

/// What a reload did, flow by flow: those of the new description in its order, then those that were stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Each flow by its name, and what became of it.
    pub flows: Vec<(String, FlowChange)>,
}

impl Reloaded {
    /// The names of the flows with which this was done.
    pub fn flows_that(&self, change: FlowChange) -> impl Iterator<Item = &str> {
        self.flows.iter().filter(move |(_, done)| *done == change).map(|(name, _)| name.as_str())
    }
}

/// What is to be done for a flow of the new description. The number is the place of the running flow that it continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Keep(usize),
    Filter(usize),
    Restart(usize),
    Start,
}

/// Finds for each new flow the running one that it continues. Where names are written down they tell. Of several flows between the same
/// two clusters that have no names of their own the equal ones belong together, then those that differ in filters only, and what is left
/// in the order of the file.
pub(crate) fn steps(running: &[Flow], new: &[Flow], changed_clusters: &BTreeSet<String>) -> Vec<Step> {
    let is_touched =
        |flow: &Flow| [&flow.source, &flow.target].iter().any(|alias| changed_clusters.contains(*alias));
    let written: BTreeSet<String> = written_names(new).collect();
    // A running flow cannot be called otherwise: where its name is somebody else's now, it begins anew.
    let may_keep_name = |old: &Flow| old.name.is_some() || !written.contains(&old.name());
    let is_same = |old: &Flow, new: &Flow| {
        with_name_of(old, new) == *new && old.name == new.name && may_keep_name(old) && !is_touched(new)
    };
    let is_filtered = |old: &Flow, new: &Flow| is_same(&with_filters_of(old, new), new);
    let has_same_name = |old: &Flow, new: &Flow| new.name.is_some() && old.name == new.name;
    let is_of_same_pair = |old: &Flow, new: &Flow| (&old.source, &old.target) == (&new.source, &new.target);
    let mut steps = vec![Step::Start; new.len()];
    let mut taken = vec![false; running.len()];
    let mut pass = |is_continued: &dyn Fn(&Flow, &Flow) -> bool, step: fn(usize) -> Step| {
        for (new, found) in new.iter().zip(&mut steps).filter(|(_, step)| **step == Step::Start) {
            let candidates = running.iter().zip(&mut taken).enumerate();
            let candidate =
                candidates.filter(|(_, (_, taken))| !**taken).find(|(_, (old, _))| is_continued(old, new));
            if let Some((index, (_, taken))) = candidate {
                (*taken, *found) = (true, step(index));
            }
        }
    };
    pass(&is_same, Step::Keep);
    pass(&is_filtered, Step::Filter);
    pass(&has_same_name, Step::Restart);
    pass(&is_of_same_pair, Step::Restart);
    steps
}

/// Gives the flows of a new description the names that they keep: who goes on is called as before, and nobody else is called so.
pub(crate) fn keep_names(running: &[Flow], new: &mut [Flow], steps: &[Step]) {
    let kept = |step: &Step| match step {
        Step::Keep(index) | Step::Filter(index) => running.get(*index).map(Flow::name),
        Step::Restart(_) | Step::Start => None,
    };
    let mut taken: BTreeSet<String> = steps.iter().filter_map(kept).chain(written_names(new)).collect();
    for (flow, step) in new.iter_mut().zip(steps) {
        let name = kept(step).or_else(|| flow.name.clone());
        let name = name.unwrap_or_else(|| names::free(&flow.default_name(), &taken));
        taken.insert(name.clone());
        flow.given_name = Some(name);
    }
}

fn written_names(flows: &[Flow]) -> impl Iterator<Item = String> {
    flows.iter().filter_map(|flow| flow.name.clone())
}

fn with_name_of(flow: &Flow, other: &Flow) -> Flow {
    Flow { given_name: other.given_name.clone(), ..flow.clone() }
}

fn with_filters_of(flow: &Flow, other: &Flow) -> Flow {
    Flow { topics: other.topics.clone(), groups: other.groups.clone(), ..flow.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source: &str, target: &str, topic: &str) -> Flow {
        Flow::new(source, target).topics([topic])
    }

    fn started_later(mut flow: Flow) -> Flow {
        flow.start = crate::ground::config::Start::Latest;
        flow
    }

    #[test]
    fn who_goes_on_keeps_its_name_and_nobody_else_gets_it() {
        let named = |mut flows: Vec<Flow>| {
            names::give(&mut flows).expect("names");
            flows
        };
        let (x, y, z) = (flow("a", "b", "x"), flow("a", "b", "y"), started_later(flow("a", "b", "z")));
        let running = named(vec![x, y.clone()]);
        let mut new = named(vec![z, y]);
        let steps = steps(&running, &new, &BTreeSet::new());
        assert_eq!(steps, [Step::Restart(0), Step::Keep(1)]);
        keep_names(&running, &mut new, &steps);
        assert_eq!([new[0].name(), new[1].name()], ["a-to-b", "a-to-b-2"]);
        // The one that is left keeps its number, and the next one is another one.
        let running = new.split_off(1);
        let mut new = named(vec![running[0].clone(), flow("a", "b", "w")]);
        new[0].given_name = Some("a-to-b".to_owned());
        let steps = super::steps(&running, &new, &BTreeSet::new());
        assert_eq!(steps, [Step::Keep(0), Step::Start]);
        keep_names(&running, &mut new, &steps);
        assert_eq!([new[0].name(), new[1].name()], ["a-to-b-2", "a-to-b"]);
    }

    /// The running flow with the number goes on only where nobody else is called so now.
    #[test]
    fn a_name_that_is_written_down_is_nobody_elses() {
        let named = |name: &str, topic: &str| Flow { name: Some(name.to_owned()), ..flow("a", "b", topic) };
        let given = |mut flows: Vec<Flow>| {
            names::give(&mut flows).expect("names");
            flows
        };
        let (x, y) = (flow("a", "b", "x"), flow("a", "b", "y"));
        let elsewhere = Flow { source: "c".to_owned(), ..named("a-to-b", "z") };
        let table = [
            ("a new one before it", vec![named("old", "x")], vec![y.clone(), elsewhere.clone()]),
            ("one that goes on", vec![x.clone(), y.clone()], vec![y, named("a-to-b-2", "z")]),
            ("one that is filtered", vec![x], vec![flow("a", "b", "w"), elsewhere]),
        ];
        for (what, running, new) in table {
            let (running, mut new) = (given(running), given(new));
            let steps = steps(&running, &new, &BTreeSet::new());
            keep_names(&running, &mut new, &steps);
            let names: BTreeSet<_> = new.iter().map(Flow::name).collect();
            assert_eq!(names.len(), new.len(), "{what}: {names:?}");
            let written = new.iter().filter(|flow| flow.name.is_some());
            assert!(written.clone().all(|flow| flow.name == flow.given_name), "{what}: {names:?}");
            for (flow, step) in new.iter().zip(&steps) {
                if let Step::Keep(place) | Step::Filter(place) = step {
                    assert_eq!(flow.name(), running[*place].name(), "{what}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_is_written_down_tells_which_flow_it_is() {
        let named = |name: &str, topic: &str| Flow { name: Some(name.to_owned()), ..flow("a", "b", topic) };
        let running = [named("one", "x"), named("two", "y")];
        let moved = Flow { source: "c".to_owned(), ..named("two", "y") };
        let new = [moved, named("one", "z"), named("three", "x")];
        let found = steps(&running, &new, &BTreeSet::new());
        assert_eq!(found, [Step::Restart(1), Step::Filter(0), Step::Start]);
    }

    #[test]
    fn every_flow_finds_the_one_that_it_continues() {
        use Step::{Filter, Keep, Restart, Start};
        let (x, y) = (flow("a", "b", "x"), flow("a", "b", "y"));
        let (z, back) = (flow("a", "b", "z"), flow("b", "a", "x"));
        let table = [
            ("nothing changes", vec![&x, &back], vec![&x, &back], "", vec![Keep(0), Keep(1)]),
            ("the order of the file says nothing", vec![&x, &y], vec![&y, &x], "", vec![Keep(1), Keep(0)]),
            ("another filter", vec![&x], vec![&y], "", vec![Filter(0)]),
            ("the equal one first", vec![&x, &y], vec![&z, &x], "", vec![Filter(1), Keep(0)]),
            ("one comes", vec![&x], vec![&back, &x], "", vec![Start, Keep(0)]),
            ("one goes", vec![&x, &y], vec![&y], "", vec![Keep(1)]),
            ("another direction is another flow", vec![&x], vec![&back], "", vec![Start]),
            ("another address", vec![&x], vec![&x], "b", vec![Restart(0)]),
            ("another address of a stranger", vec![&x], vec![&x], "c", vec![Keep(0)]),
        ];
        for (what, running, new, changed, expected) in table {
            let owned = |flows: Vec<&Flow>| flows.into_iter().cloned().collect::<Vec<_>>();
            let changed = [changed].iter().map(|alias| (*alias).to_owned()).collect();
            assert_eq!(steps(&owned(running), &owned(new), &changed), expected, "{what}");
        }
        let (running, new) = ([x.clone(), y.clone()], [started_later(x), y]);
        assert_eq!(
            steps(&running, &new, &BTreeSet::new()),
            [Restart(0), Keep(1)],
            "another setting, and its neighbour of the same clusters is left alone"
        );
    }
}
