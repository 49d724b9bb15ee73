//! Keeps the order of the binding's modules: no circle of imports, and no import from a higher floor.
//!
//! It reads the paths that begin with `crate::` or `super::`, in `use` and elsewhere, and finds the file that each one
//! leads to, through re-exports as well. A module and those inside of it may import each other.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the lowest to the highest. A file imports from its own floor and from those below it.
const FLOORS: [&str; 11] = [
    "js",
    "convert",
    "environment",
    "audio",
    "audio_source",
    "resampler",
    "connection",
    "session",
    "hub",
    "exports",
    "lib",
];

/// A module's path, as in `["environment", "log"]`. The crate's root is empty.
type Module = Vec<String>;

/// Each module's source, without comments.
type Sources = BTreeMap<Module, String>;

fn collect(folder: &Path, module: &Module, sources: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            collect(&path, &[module.clone(), vec![name]].concat(), sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = if name == "mod" || name == "lib" {
                module.clone()
            } else {
                [module.clone(), vec![name]].concat()
            };
            sources.insert(file, without_comments(&fs::read_to_string(&path).unwrap()));
        }
    }
}

fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| line.find("//").map_or(line, |start| &line[..start]))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The paths that begin where `text` does, groups in braces taken apart: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut parser = Parser { rest: text };
    parser.tree()
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn tree(&mut self) -> Vec<Vec<String>> {
        if self.take("{") {
            let mut found = Vec::new();
            while !self.take("}") && !self.rest.is_empty() {
                found.extend(self.tree());
                if !self.take(",") && !self.rest.trim_start().starts_with('}') {
                    panic!("a group of imports that is not understood: {}", self.rest);
                }
            }
            return found;
        }
        if self.take("*") {
            return vec![Vec::new()];
        }
        let word = self.word();
        let mut found = if self.take("::") { self.tree() } else { vec![Vec::new()] };
        if self.rest.trim_start().starts_with("as ") {
            self.take("as ");
            self.word();
        }
        for path in &mut found {
            path.insert(0, word.clone());
        }
        found
    }
}

/// What a module's source names with `crate::` and `super::`, as paths from the root of the crate.
fn named(module: &Module, source: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (start, _) in source.match_indices(root) {
            let before = source[..start].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            for path in paths(&source[start..]) {
                let ups = path.iter().take_while(|word| *word == "super").count();
                let mut full = match path.first().map(String::as_str) {
                    Some("super") => module[..module.len() - ups].to_vec(),
                    _ => Vec::new(),
                };
                full.extend(path.iter().skip(ups.max(1)).cloned());
                found.push(full);
            }
        }
    }
    found
}

/// What `pub(crate) use` of a module makes available under a name: the path behind it, relative to the module.
fn re_exports(module: &Module, source: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for marker in ["pub(crate) use ", "pub(super) use ", "pub use "] {
        for (start, _) in source.match_indices(marker) {
            for path in paths(&source[start + marker.len()..]) {
                let Some(name) = path.last().cloned() else { continue };
                let full = match path.first().map(String::as_str) {
                    Some("crate") => path[1..].to_vec(),
                    _ => [module.clone(), path].concat(),
                };
                found.insert(name, full);
            }
        }
    }
    found
}

/// The module that defines what a path names.
fn home(path: &[String], sources: &Sources) -> Module {
    let mut module = Module::new();
    for (index, word) in path.iter().enumerate() {
        let inner = [module.clone(), vec![word.clone()]].concat();
        if sources.contains_key(&inner) {
            module = inner;
            continue;
        }
        let target = re_exports(&module, &sources[&module]).remove(word);
        return match target {
            Some(target) if target != path[..=index] => home(&target, sources),
            _ => module,
        };
    }
    module
}

/// Each file with the files that it imports, except for those that it contains or that contain it.
fn arrows(sources: &Sources) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut arrows = BTreeMap::new();
    for (module, source) in sources {
        // Tests of a file may look at what they like.
        let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        let to = named(module, source)
            .iter()
            .map(|path| home(path, sources))
            .filter(|other| !other.starts_with(module) && !module.starts_with(other))
            .collect::<BTreeSet<_>>();
        arrows.insert(module.clone(), to);
    }
    arrows
}

/// A way from a file back to itself.
fn circle(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    fn walk(
        arrows: &BTreeMap<Module, BTreeSet<Module>>,
        way: &mut Vec<Module>,
        done: &mut BTreeSet<Module>,
    ) -> Option<Vec<Module>> {
        let here = way.last()?.clone();
        for next in arrows.get(&here)? {
            if let Some(start) = way.iter().position(|module| module == next) {
                return Some(way[start..].to_vec());
            }
            if !done.contains(next) {
                way.push(next.clone());
                if let Some(found) = walk(arrows, way, done) {
                    return Some(found);
                }
                way.pop();
            }
        }
        done.insert(here);
        None
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|module| walk(arrows, &mut vec![module.clone()], &mut done))
}

fn floor(module: &Module) -> usize {
    let room = module.first().map_or("lib", String::as_str);
    FLOORS.iter().position(|floor| *floor == room).unwrap_or_else(|| panic!("{room} has no floor"))
}

fn upward(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<(Module, Module)> {
    let mut found = Vec::new();
    for (from, to) in arrows {
        found.extend(to.iter().filter(|to| floor(to) > floor(from)).map(|to| (from.clone(), to.clone())));
    }
    found
}

fn of_the_crate() -> Sources {
    let mut sources = Sources::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &Module::new(), &mut sources);
    sources
}

fn module(path: &str) -> Module {
    path.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn made_up(files: &[(&str, &str)]) -> BTreeMap<Module, BTreeSet<Module>> {
    arrows(&files.iter().map(|(path, source)| (module(path), (*source).to_owned())).collect())
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    assert_eq!(circle(&arrows(&of_the_crate())), None);
}

#[test]
fn no_file_imports_from_a_higher_floor() {
    assert_eq!(upward(&arrows(&of_the_crate())), []);
}

#[test]
fn each_floor_is_there() {
    let rooms = of_the_crate().keys().map(floor).collect::<BTreeSet<_>>();
    assert_eq!(rooms.len(), FLOORS.len());
}

#[test]
fn the_map_of_the_architecture_names_the_same_floors() {
    let map =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md")).unwrap();
    let map = map.split_whitespace().collect::<Vec<_>>().join(" ");
    let floors = FLOORS.map(|floor| format!("`{floor}`")).join(", ");
    assert!(map.contains(&floors), "ARCHITECTURE.md does not name the floors {floors}");
}

#[test]
fn imports_of_all_forms_are_seen() {
    let arrows = arrows(&of_the_crate());
    for (from, to) in [
        // `use crate::a::b::C`, a group in a group, a re-export, `super::`, a path in an expression.
        ("session::publisher", "convert::options"),
        ("environment::shared", "environment::pending"),
        ("hub", "session"),
        ("environment", "js::class"),
        ("js::bytes", "js::arguments"),
        ("exports", "hub"),
    ] {
        assert!(arrows[&module(from)].contains(&module(to)), "{from} → {to} was not found");
    }
}

#[test]
fn a_circle_and_an_arrow_upward_would_be_found() {
    let root = ("", "mod js; mod convert;");
    let fine = [root, ("js", "fn f() {}"), ("convert", "use crate::{js::{self, f as g}, other};")];
    assert_eq!((circle(&made_up(&fine)), upward(&made_up(&fine))), (None, vec![]));

    let up = [root, ("js", "fn f() { crate::convert::put() }"), ("convert", "")];
    assert_eq!(upward(&made_up(&up)), [(module("js"), module("convert"))]);

    let between = [root, ("js", ""), ("js::a", "use super::{b::X};"), ("js::b", "use crate::js::{Y, a::Z};")];
    assert_eq!(circle(&made_up(&between)), Some(vec![module("js::a"), module("js::b")]));

    let behind =
        [root, ("js", "pub(crate) use b::X;"), ("js::a", "use super::X;"), ("js::b", "use super::a::Z;")];
    assert_eq!(circle(&made_up(&behind)), Some(vec![module("js::a"), module("js::b")]));

    let family = [root, ("js", "use crate::js::a::Z;"), ("js::a", "use crate::js::Y;")];
    assert_eq!(circle(&made_up(&family)), None);
}
