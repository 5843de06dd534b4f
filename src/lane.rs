//! [`Lanes`]: how the items of a run lie in lanes; [`Calls`]: how many calls that makes. Told before the run starts.

use serde::{Deserialize, Serialize};

use crate::rate::Rates;

/// How the items of a run lie in lanes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lanes {
    /// How many lanes there are.
    pub lanes: u64,
    /// Items of the longest one: so many come one after another, whatever runs beside them.
    pub longest: u64,
    /// Its key; empty if there is no lane.
    pub longest_key: String,
    /// Items that are in no lane: damaged or left out, they end before a lane is asked for.
    pub without: u64,
    /// How many bundles the lanes are packed into, one for each child execution.
    pub bundles: u64,
}

/// How many calls to others are to be made, as far as that is certain: pages, polls and further tries come on top.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Calls {
    /// All of them.
    pub total: u64,
    /// Those of the longest lane, one after another; 0 without lanes.
    pub longest_lane: u64,
    /// How many a second are allowed, if there is one limit for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

impl Calls {
    /// For so many items, each with so many calls, and so many more for each lane; `None` if there are none.
    pub(crate) fn of(items: u64, lanes: Option<&Lanes>, (each, each_lane): (u32, u32), rates: &Rates) -> Option<Self> {
        let (each, each_lane) = (u64::from(each), u64::from(each_lane));
        let all = lanes.map_or(0, |plan| plan.lanes * each_lane);
        let longest_lane = lanes.map_or(0, |plan| plan.longest * each + each_lane);
        let limit = rates.limit.filter(|limit| *limit > 0.0 && rates.hosts.is_empty());
        let total = items * each + all;
        (total > 0).then_some(Self { total, longest_lane, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_those_of_the_items_and_those_of_the_lanes() {
        let lanes = Lanes { lanes: 100, longest: 57, ..Lanes::default() };
        let rates = Rates { limit: Some(50.0), ..Rates::default() };
        let calls = Calls::of(1000, Some(&lanes), (3, 1), &rates).unwrap();
        assert_eq!(calls, Calls { total: 3100, longest_lane: 172, limit: Some(50.0) });
        assert_eq!(Calls::of(1000, Some(&lanes), (0, 0), &rates), None);
        assert_eq!(Calls::of(10, None, (2, 1), &Rates::default()), Some(Calls { total: 20, longest_lane: 0, limit: None }));
    }
}
