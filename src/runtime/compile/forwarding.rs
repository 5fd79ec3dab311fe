//! Routes that forward to more than one upstream.

use super::{Compiler, below, item};
use crate::config::Step;
use crate::route::{self, Mirror, Target, split};
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

    pub(super) fn mirror(
        &mut self,
        route: &route::Config,
        (name, steps): (&str, &[Step]),
        upstreams: &IndexMap<String, Arc<Upstream>>,
    ) -> Option<Arc<Mirror>> {
        let config = route.mirror.as_ref()?;
        let steps = below(steps, "mirror");
        if let [target @ ("redirect" | "reply")] = route.targets().as_slice() {
            let what =
                format!("a route with `{target}` sends nothing upstream that could be copied");
            self.fail(&steps, Problem::new(what, "remove it, or give `upstream` or `split`"));
        }
        if let Some(problem) = config.problem() {
            self.fail(&below(&steps, "compare"), problem);
        }
        let upstream = upstreams.get(&config.upstream)?.clone();
        let before = self.before.get(name).and_then(|before| before.mirror.as_deref());
        Some(Arc::new(config.compile(name, upstream, &self.retained.routes, before)))
    }
}
