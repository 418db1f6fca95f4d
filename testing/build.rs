//! The migrations are embedded, and cargo must notice a new one.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
