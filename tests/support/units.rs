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

/// A unit of an image as it is, with other words for its command where there are some.
pub fn server(image: &str, command: &[&str]) -> String {
    let command = if command.is_empty() { String::new() } else { format!("command = {command:?}\n") };
    format!("[container]\nimage = \"localhost/{image}\"\n{command}")
}

/// Sockets that start their unit: where each listens, and what the server binds.
pub fn swapped(sockets: &[(&str, &str)]) -> String {
    let table = |(number, (listen, target)): (usize, &(&str, &str))| {
        format!("[socket.s{number}]\nlisten = \"{listen}\"\ntarget = \"{target}\"\n")
    };
    let tables: String = sockets.iter().enumerate().map(table).collect();
    format!("[activation]\nstart = \"socket\"\n{tables}")
}
