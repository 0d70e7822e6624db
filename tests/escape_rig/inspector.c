/* Tells what a container has and lacks, as seen from inside: a line for each, a key and a value. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void line_of(const char *path, const char *begin, const char *key) {
    char line[4096];
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, begin, strlen(begin))) {
            char *value = line + strlen(begin);
            value += strspn(value, ": \t");
            value[strcspn(value, "\n")] = 0;
            printf("%s: %s\n", key, value);
            break;
        }
    if (file) fclose(file);
}

/* What stands on parts of the kernel's files: other mounts, read-only or empty. */
static void mounts(void) {
    char line[4096], place[1024], options[1024], rest[2048];
    FILE *file = fopen("/proc/self/mountinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        char root[1024], type[64];
        if (sscanf(line, "%*s %*s %*s %1023s %1023s %1023s %2047[^\n]", root, place, options, rest) != 4) continue;
        char *dash = strstr(rest, "- ");
        if (!dash || sscanf(dash, "- %63s", type) != 1) continue;
        int below = !strncmp(place, "/proc/", 6) || !strncmp(place, "/sys/", 5);
        if (!below || !strcmp(place, "/sys/fs/cgroup") || !strncmp(place, "/sys/fs/cgroup/", 15)) continue;
        int masked = !strcmp(type, "tmpfs") || !strcmp(type, "devtmpfs") || strstr(root, "null");
        printf("%s: %s\n", masked ? "masked" : strstr(options, "ro") == options ? "read-only" : "mounted", place);
    }
    if (file) fclose(file);
}

static long writable(const char *directory, int depth) {
    long count = 0;
    DIR *entries = depth < 12 ? opendir(directory) : 0;
    for (struct dirent *one; entries && (one = readdir(entries));) {
        char path[4096];
        if (one->d_name[0] == '.' || one->d_type == DT_LNK) continue;
        snprintf(path, sizeof path, "%s/%s", directory, one->d_name);
        if (one->d_type == DT_DIR) count += writable(path, depth + 1);
        else {
            int file = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
            count += file >= 0;
            if (file >= 0) close(file);
        }
    }
    if (entries) closedir(entries);
    return count;
}

/* Tries each call with arguments that can do nothing: one that is refused says so before it looks at them. */
static void calls(void) {
    static const int left_out[] = { SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_clone, SYS_vfork, SYS_fork, SYS_seccomp,
        SYS_ptrace, SYS_vhangup, SYS_reboot, SYS_pause, SYS_kill, SYS_tkill };
    int refused = 0, tried = 0;
    for (int number = 0; number <= 462; number++) {
        int skip = number > 334 && number < 424;
        for (size_t one = 0; one < sizeof left_out / sizeof *left_out; one++) skip |= left_out[one] == number;
        if (skip) continue;
        tried++;
        pid_t child = fork();
        if (child == 0) {
            long result = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
            _exit(result == -1 && (errno == EPERM || errno == ENOSYS));
        }
        int status = 0, handle = (int)syscall(SYS_pidfd_open, child, 0);
        struct pollfd ended = { .fd = handle, .events = POLLIN };
        if (handle >= 0 && poll(&ended, 1, 1000) == 0) kill(child, SIGKILL);
        waitpid(child, &status, 0);
        if (handle >= 0) close(handle);
        refused += (WIFEXITED(status) && WEXITSTATUS(status) == 1) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    }
    printf("calls tried: %d\ncalls refused: %d\n", tried, refused);
}

int main(void) {
    static const char *const spaces[] = { "user", "mnt", "pid", "net", "uts", "ipc", "cgroup", "time" };
    static const char *const keys[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters" };
    char path[64], target[256];
    for (size_t one = 0; one < sizeof keys / sizeof *keys; one++) {
        snprintf(path, sizeof path, "%s:", keys[one]);
        line_of("/proc/self/status", path, keys[one]);
    }
    for (size_t one = 0; one < sizeof spaces / sizeof *spaces; one++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", spaces[one]);
        ssize_t length = readlink(path, target, sizeof target - 1);
        printf("namespace %s: %.*s\n", spaces[one], (int)(length < 0 ? 0 : length), target);
    }
    line_of("/proc/self/uid_map", "", "uid_map");
    line_of("/proc/self/attr/current", "", "label");
    mounts();
    printf("settings that can be written: %ld\n", writable("/proc/sys", 0));
    printf("files of /sys that can be written: %ld\n", writable("/sys", 0));
    DIR *devices = opendir("/dev");
    for (struct dirent *one; devices && (one = readdir(devices));)
    {
        struct stat status;
        snprintf(path, sizeof path, "/dev/%.32s", one->d_name);
        if (lstat(path, &status) == 0 && (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))) printf("device: %s\n", one->d_name);
    }
    calls();
    return 0;
}
