/* The memory that a machine and its cgroups leave to a process, and what the process has of it. */
#include "../base/check.h"

#include "pool/available.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char folder[] = "/tmp/pph_governor_XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = strchr(path + sizeof folder, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static uint64_t total(void)
{
    static char membership[256], cgroups[256], meminfo[256];
    snprintf(membership, sizeof membership, "%s/membership", folder);
    snprintf(cgroups, sizeof cgroups, "%s/fs", folder);
    snprintf(meminfo, sizeof meminfo, "%s/meminfo", folder);
    return pph_available_total(&(pph_available_sources){membership, cgroups, meminfo});
}

static void cgroups_of_both_versions_count(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    write_file("meminfo", "MemFree: 5 kB\nMemTotal:    4096 kB\nMemAvailable: 7 kB\n");
    assert_int_equal(total(), 4 << 20); /* no membership, no cgroups */
    write_file("membership", "3:cpuset:/\n0::/a/b\n");
    assert_int_equal(total(), 4 << 20);
    write_file("fs/a/b/memory.max", "max\n");
    assert_int_equal(total(), 4 << 20);
    write_file("fs/a/b/memory.max", "3000000\n");
    assert_int_equal(total(), 3000000);
    write_file("fs/a/memory.max", "2000000\n"); /* the one above is stricter */
    assert_int_equal(total(), 2000000);
    write_file("fs/a/b/memory.high", "1900000\n");
    assert_int_equal(total(), 1900000);
    write_file("fs/memory.max", "1800000\n"); /* the mount's own root, as containers see it */
    assert_int_equal(total(), 1800000);
    write_file("membership", "0::/../elsewhere\n");
    assert_int_equal(total(), 1800000);
    write_file("membership", "0::/gone/from/here (deleted)\n");
    assert_int_equal(total(), 1800000);
    write_file("membership", "0::/\n");
    assert_int_equal(total(), 1800000);
    write_file("fs/memory.max", "99999999999999\n"); /* more than there is */
    assert_int_equal(total(), 4 << 20);

    write_file("fs/memory/docker/1/memory.limit_in_bytes", "1500000\n");
    write_file("membership", "5:cpu,memory,pids:/docker/1\n0::/\n");
    assert_int_equal(total(), 1500000);
    write_file("membership", "5:cpu,memoryless:/docker/1\n");
    assert_int_equal(total(), 4 << 20);
    write_file("fs/memory/memory.limit_in_bytes", "1400000\n");
    write_file("membership", "5:memory:/docker/not/visible/here\n");
    assert_int_equal(total(), 1400000);
    write_file("fs/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(total(), 4 << 20);
}

static void damaged_files_set_no_limit(void **state)
{
    (void)state;
    const char *const lines[] = {
        "",       "\n",       ":",         "::",        "0:",        "0::",   "0::a",
        "memory", "5:memory", "5:memory:", ":::::::\n", "5:,,,:/\n", "0::/\n"};
    const char *const limits[] = {"", "-5\n", "12x\n", " 7\n", "99999999999999999999999999\n"};
    for (size_t i = 0; i < PPH_COUNT(lines); i++) {
        write_file("membership", lines[i]);
        for (size_t j = 0; j < PPH_COUNT(limits); j++) {
            write_file("fs/memory.max", limits[j]);
            write_file("fs/memory/memory.limit_in_bytes", limits[j]);
            assert_int_equal(total(), 4 << 20);
        }
    }
    char *endless = malloc(100000);
    memset(endless, '/', 99999);
    memcpy(endless, "0::", 3);
    endless[99999] = 0;
    write_file("membership", endless);
    free(endless);
    assert_int_equal(total(), 4 << 20);
    write_file("meminfo", "MemTotal: lots\n");
    assert_true(total() > 64 << 20); /* asked of the kernel */
    assert_true(pph_available_total(NULL) >= total() / 1000);
    char command[300];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void resident_memory_follows_what_is_touched(void **state)
{
    (void)state;
    const size_t size = 64 << 20;
    uint64_t before = pph_available_resident();
    assert_true(before > 100 * 1024);
    volatile char *block = malloc(size);
    assert_non_null((void *)block);
    for (size_t i = 0; i < size; i += 1024)
        block[i] = 1;
    uint64_t with = pph_available_resident();
    free((void *)block);
    assert_true(with >= before + size / 10 * 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cgroups_of_both_versions_count),
        cmocka_unit_test(damaged_files_set_no_limit),
        cmocka_unit_test(resident_memory_follows_what_is_touched),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
