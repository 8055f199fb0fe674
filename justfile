# Recipes for people; the pipeline runs `./test`.

# Everything
test *NAME:
    ./test {{NAME}}

# What compilers can say
check:
    cargo fmt --all --check
    typos
    cargo deny check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# Side by side with other engines
bench *ARGS:
    python3 tests/bench/run.py {{ARGS}}
