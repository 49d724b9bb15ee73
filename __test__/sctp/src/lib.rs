//! Nothing: the tests are in `tests/`, and what measures is in `examples/`.
