/* Lets Linux 6.1 in user mode run on processors with more state than it has room for: those with AMX. To be preloaded.
 *
 * It keeps 2696 bytes of the extended state of each of its processes, enough for AVX-512. ptrace(2) sets the state only
 * as a whole (xstateregs_set() of the machine's kernel), so that on such a processor no process of the host begins. What
 * lies behind these bytes nobody in the host uses, since it is asked for first (arch_prctl(2), ARCH_REQ_XCOMP_PERM).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

typedef long traced(enum __ptrace_request, pid_t, void *, void *);

/* Its stacks are too small for it; it has one thread that traces. */
static char state[64 * 1024];
static traced *next;

__attribute__((constructor)) static void find(void)
{
    next = (traced *) dlsym(RTLD_NEXT, "ptrace");
}

/* Keeps what lies behind the part that is given. */
static long set(pid_t process, void *kind, const struct iovec *given)
{
    struct iovec whole = { state, sizeof state };
    long result = next(PTRACE_GETREGSET, process, kind, &whole);
    if (result < 0)
        return result;
    if (whole.iov_len > given->iov_len)
        memcpy(state, given->iov_base, given->iov_len);
    else
        whole = *given;
    return next(PTRACE_SETREGSET, process, kind, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    pid_t process = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);
    if (request == PTRACE_SETREGSET && address == (void *) NT_X86_XSTATE)
        return set(process, address, data);
    return next(request, process, address, data);
}
