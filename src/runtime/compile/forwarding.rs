//! Routes that forward to more than one upstream.

use super::{Compiler, below, item};
use crate::config::Step;
use crate::route::{Target, split};
use crate::upstream::Upstream;
use crate::value::Problem;
use indexmap::IndexMap;
use std::sync::Arc;

impl Compiler<'_> {
    pub(super) fn split(
        &mut self,
        config: &split::Config,
        steps: &[Step],
        upstreams: &IndexMap<String, Arc<Upstream>>,
    ) -> Option<Target> {
        let to = below(steps, "to");
        for (place, problem) in config.problems() {
            let at = place.map(|place| below(&item(&to, place), "upstream"));
            self.fail(&at.unwrap_or_else(|| to.clone()), problem);
        }
        if config.sticky.as_ref().is_some_and(|key| key.is_constant()) {
            let what = "every request has this key, so all go to one upstream";
            let remedy = "write what tells requests apart, such as `{request.cookie.sid}`";
            self.warn(&below(steps, "sticky"), Problem::new(what, remedy));
        }
        config.compile(|name| upstreams.get(name).cloned()).map(Target::Split)
    }
}
