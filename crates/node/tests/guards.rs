//! Finds functions that Node.js, napi or the runtime call and that a panic could leave.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// What stands in a function that is guarded.
const GUARDS: [&str; 3] = ["guard(", "guard::enter(", "Guarded::new("];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The source without comments and without its tests, which stand at the end of each file.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// From the first brace after `start` to the one that closes it; `None` for a declaration or a type.
fn body(code: &str, start: usize) -> Option<&str> {
    let rest = code.get(start..)?;
    let open = rest.find('{')?;
    if rest.find([';', ',']).is_some_and(|end| end < open && !rest[..end].contains('(')) {
        return None;
    }
    let mut depth = 0;
    for (index, character) in rest.get(open..)?.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return rest.get(open..=open + index);
        }
    }
    None
}

/// Bodies of the functions that `marker` starts, by name.
fn functions<'a>(code: &'a str, marker: &str) -> Vec<(&'a str, &'a str)> {
    code.match_indices(marker)
        .filter_map(|(index, _)| {
            let after = index + marker.len();
            let name = code.get(after..)?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
            (!name.is_empty()).then_some((name, body(code, after)?))
        })
        .collect()
}

fn is_guarded(body: &str) -> bool {
    GUARDS.iter().any(|guard| body.contains(guard))
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root);
    files.iter().map(|path| (path.strip_prefix(&root).unwrap().display().to_string(), code(path))).collect()
}

#[test]
fn each_function_with_a_c_interface_is_guarded() {
    let mut seen = Vec::new();
    for (file, code) in all_sources() {
        for (name, body) in functions(&code, "extern \"C\" fn ") {
            assert!(is_guarded(body), "{file}: `{name}` has a C interface and no guard");
            seen.push(name.to_owned());
        }
    }
    // Were the search blind, it would find nothing wrong.
    for known in ["callback", "constructor", "finalize", "rung", "end", "free"] {
        assert!(seen.iter().any(|name| name == known), "`{known}` was not found: {seen:?}");
    }
}

#[test]
fn napi_makes_no_exports_behind_the_guard() {
    let mut hooks = 0;
    for (file, code) in all_sources() {
        for (index, _) in code.match_indices("#[napi") {
            let rest = &code[index..];
            assert!(rest.starts_with("#[napi(module_exports)]"), "{file}: exports are made by `exports!`");
            assert!(is_guarded(body(&code, index).unwrap()), "{file}: the module's hook has no guard");
            hooks += 1;
        }
    }
    assert_eq!(hooks, 1);
}

#[test]
fn each_task_is_guarded_and_goes_through_the_backend() {
    let mut spawned = 0;
    for (file, code) in all_sources() {
        assert!(!code.contains("tokio::spawn("), "{file}: tasks are spawned by the backend");
        if file == "environment/runtime.rs" {
            continue;
        }
        for (name, body) in functions(&code, "fn ") {
            if body.contains("BACKEND.spawn") {
                assert!(is_guarded(body), "{file}: `{name}` spawns what is not guarded");
                spawned += 1;
            }
        }
    }
    assert!(spawned >= 3, "only {spawned} functions that spawn were found");
}

#[test]
fn a_function_without_a_guard_would_be_found() {
    let code = "unsafe extern \"C\" fn bad(x: u32) { work(x) }\nextern \"C\" fn good() { guard(|| Ok(())); }";
    let found = functions(code, "extern \"C\" fn ")
        .into_iter()
        .map(|(name, body)| (name, is_guarded(body)))
        .collect::<Vec<_>>();
    assert_eq!(found, [("bad", false), ("good", true)]);
}
