//! Unit files for tests.

/// A unit whose payload is a script of busybox. More keys of `[container]` may follow.
pub fn shell(script: &str) -> String {
    format!(
        "[container]\nimage = \"localhost/hello\"\nentrypoint = [\"/bin/sh\", \"-c\"]\ncommand = ['''{script}''']\n"
    )
}

/// A unit whose payload is a program of Python. More keys of `[container]` may follow.
pub fn python(program: &str) -> String {
    format!(
        "[container]\nimage = \"localhost/servers\"\nentrypoint = [\"/usr/bin/python3\", \"-uc\"]\ncommand = ['''{program}''']\n"
    )
}

/// A socket that starts its unit.
pub fn socket(listen: &str, pass: &str) -> String {
    format!("[activation]\nstart = \"socket\"\n[socket.main]\nlisten = \"{listen}\"\npass = {pass}\n")
}
