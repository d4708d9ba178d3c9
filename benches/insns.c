/* A plugin of qemu-user 7.2 (API version 1) that counts the guest's instructions between two readings of the thread's CPU
 * clock, which is how `lectern bench` ends a stage. benches/insns.py compiles and drives it. One guest thread.
 *
 * Writes one line a frame: the instructions executed since the start of the process at each reading. A read(2) since the
 * last reading begins a new line, for that is how the clip's next frame comes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of <qemu-plugin.h> that is needed; Debian does not package that header. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*qemu_plugin_vcpu_tb_trans_cb_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*qemu_plugin_vcpu_syscall_cb_t)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                              uint64_t, uint64_t, uint64_t, uint64_t);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, qemu_plugin_vcpu_tb_trans_cb_t);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, qemu_plugin_vcpu_syscall_cb_t);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

/* Linux on aarch64. */
enum { READ = 63, CLOCK_GETTIME = 113, THREAD_CPUTIME = 3 };

static uint64_t executed;
static int begins = 1;
static FILE *out;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &executed,
                                             qemu_plugin_tb_n_insns(block));
}

static void called(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                   uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == READ) {
        begins = 1;
    } else if (number == CLOCK_GETTIME && a1 == THREAD_CPUTIME) {
        fprintf(out, "%s%" PRIu64, begins ? "\n" : " ", executed);
        fflush(out);
        begins = 0;
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **arguments)
{
    (void)info;
    for (int i = 0; i < count; i++)
        if (!strncmp(arguments[i], "out=", 4))
            out = fopen(arguments[i] + 4, "w");
    if (!out)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
