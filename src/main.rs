//! The `hugeprobe` program. See the library of the same name.

fn main() -> std::process::ExitCode {
    hugeprobe::cli::main()
}
