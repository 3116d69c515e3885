//! Circles in a graph of modules.

use std::collections::{BTreeSet, VecDeque};

use crate::module_graph::ModuleGraph;

/// The names of modules each of which uses the next, and the last the first.
pub(crate) type Circle = Vec<String>;

/// The shortest circle through each module that is in one, without modules that a circle before it has.
pub(crate) fn circles_of(graph: &ModuleGraph) -> Vec<Circle> {
    let mut circles: Vec<Circle> = Vec::new();
    for module in graph.uses.keys() {
        if circles.iter().all(|circle| !circle.contains(module)) {
            circles.extend(shortest_circle(graph, module));
        }
    }
    circles
}

/// Breadth first: a shortest path from the module to itself.
fn shortest_circle(graph: &ModuleGraph, start: &str) -> Option<Circle> {
    let mut seen = BTreeSet::new();
    let mut open = VecDeque::from([vec![start.to_owned()]]);
    while let Some(path) = open.pop_front() {
        for used in graph.uses.get(path.last()?).into_iter().flat_map(|used| used.keys()) {
            if used == start {
                return Some(path);
            }
            if seen.insert(used.clone()) {
                open.push_back([path.as_slice(), std::slice::from_ref(used)].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::crate_of;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        circles_of(&ModuleGraph::of(&crate_of(files))).iter().map(|circle| circle.join(" ")).collect()
    }

    #[test]
    fn arrows_that_only_go_down_are_no_circle() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; mod c; use a::A; use c::C;"),
            ("a.rs", "use crate::{b::B, c::C};"),
            ("b.rs", "use crate::c::C;"),
            ("c.rs", "pub struct C;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn the_shortest_circle_is_found() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::c::C; use super::d::D;"),
            ("c.rs", "use crate::d::D;"),
            ("d.rs", "fn f() { crate::a::g() }"),
        ]);
        assert_eq!(found, ["a b d", "c d a b"]);
    }

    #[test]
    fn circles_apart_are_all_found() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::a::A;"),
            ("c.rs", "use crate::d::D; use crate::a::A;"),
            ("d.rs", "use crate::c::C;"),
        ]);
        assert_eq!(found, ["a b", "c d"]);
    }

    #[test]
    fn a_circle_by_way_of_a_reexport_is_found() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; pub use b::B;"),
            ("a.rs", "use crate::B; pub struct A;"),
            ("b.rs", "pub struct B(crate::a::A);"),
        ]);
        assert_eq!(found, ["a b"]);
    }
}
