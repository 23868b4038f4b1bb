//! A fault as a line that can be written down and run again.

use std::fmt;
use std::str::FromStr;

use super::scenario::Scenario;
use super::trap::{Effect, Position};

/// Where the world stops in which scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Plan {
    pub scenario: Scenario,
    pub position: Position,
    pub effect: Effect,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.scenario, self.position, self.effect)
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut parts = line.splitn(3, ' ');
        let mut part = || parts.next().ok_or_else(|| format!("{line:?} is no plan"));
        Ok(Self { scenario: part()?.parse()?, position: part()?.parse()?, effect: part()?.parse()? })
    }
}

#[test]
fn a_plan_is_a_line_that_reads_back() {
    let line = "create response-lost POST /api/v1/namespaces/tenant-PREFIX-acme/secrets/orders-app #1";
    let plan: Plan = line.parse().unwrap();
    assert_eq!((plan.scenario, plan.position), (Scenario::Create, Position::ResponseLost));
    assert_eq!(plan.to_string(), line);
    assert!("create sideways POST x #1".parse::<Plan>().is_err());
    assert!("create after POST x".parse::<Plan>().is_err());
}
