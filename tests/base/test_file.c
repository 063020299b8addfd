/* Files: whole reads to the very byte of a limit, pipes, mappings, atomic writes, paths. */
#include "base/file.h"

#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/paraphym-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static void remove_all(void)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; (entry = readdir(entries));)
        unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
}

static int remove_folder(void **state)
{
    (void)state;
    remove_all();
    return rmdir(folder);
}

static const char *at(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int count_files(void)
{
    int count = 0;
    DIR *entries = opendir(folder);
    for (struct dirent *entry; (entry = readdir(entries));)
        count += entry->d_name[0] != '.';
    closedir(entries);
    return count;
}

static void make(const char *name, size_t size)
{
    PPH_AUTO(pph_free_at) uint8_t *bytes = pph_alloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 + 7);
    assert_int_equal(pph_file_write(at(name), bytes, size, NULL), PPH_OK);
}

static void holds(const pph_buffer *buffer, size_t start, size_t size)
{
    assert_int_equal(buffer->size, start + size);
    for (size_t i = 0; i < size; i++)
        if (buffer->data[start + i] != (uint8_t)(i * 31 + 7))
            fail_msg("byte %zu of %zu differs", i, size);
}

static void a_file_is_read_whole_at_any_limit(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 255, 256, 257, 4096, 65536, 100003};
    for (size_t i = 0; i < PPH_COUNT(sizes); i++) {
        size_t size = sizes[i];
        make("a", size);
        for (size_t slack = 0; slack < 3; slack++) {
            PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(size + slack);
            assert_int_equal(pph_file_read(at("a"), &out, NULL), PPH_OK);
            holds(&out, 0, size);
        }
        if (size < 2)
            continue;
        PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(size - 1);
        pph_error err;
        assert_fails(pph_file_read(at("a"), &out, &err), PPH_TOO_LARGE, err, at("a"));
        assert_true(out.capacity < size);
    }
}

static void reading_appends(void **state)
{
    (void)state;
    make("a", 1000);
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(1005);
    assert_int_equal(pph_buffer_append(&out, "12345", 5, NULL), PPH_OK);
    assert_int_equal(pph_file_read(at("a"), &out, NULL), PPH_OK);
    assert_memory_equal(out.data, "12345", 5);
    holds(&out, 5, 1000);
    assert_int_equal(pph_file_read(at("a"), &out, NULL), PPH_TOO_LARGE);
}

static void files_without_a_size_are_read(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(65536);
    assert_int_equal(pph_file_read("/proc/self/status", &out, NULL), PPH_OK);
    assert_true(out.size > 100);
    PPH_AUTO(pph_buffer_deinit) pph_buffer less = PPH_BUFFER_LIMIT(100);
    assert_int_equal(pph_file_read("/proc/self/status", &less, NULL), PPH_TOO_LARGE);
    PPH_AUTO(pph_buffer_deinit) pph_buffer endless = PPH_BUFFER_LIMIT(100000);
    assert_int_equal(pph_file_read("/dev/zero", &endless, NULL), PPH_TOO_LARGE);
    assert_true(endless.size <= 100000);
}

typedef struct pipe_writer {
    int fd;
    size_t size;
} pipe_writer;

static void *write_pipe(void *argument)
{
    pipe_writer *writer = argument;
    for (size_t i = 0; i < writer->size; i++)
        if (write(writer->fd, &(uint8_t){(uint8_t)(i * 31 + 7)}, 1) != 1)
            break;
    close(writer->fd);
    return NULL;
}

static pph_status read_pipe(size_t size, pph_buffer *out)
{
    int ends[2];
    pthread_t thread;
    assert_int_equal(pipe(ends), 0);
    pipe_writer writer = {ends[1], size};
    assert_int_equal(pthread_create(&thread, NULL, write_pipe, &writer), 0);
    pph_status status = pph_file_read_fd(ends[0], "pipe", out, NULL);
    char rest[256];
    while (read(ends[0], rest, sizeof rest) > 0) {
    }
    pthread_join(thread, NULL);
    close(ends[0]);
    return status;
}

static void a_pipe_is_read_to_its_end(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 256, 257, 5000};
    for (size_t i = 0; i < PPH_COUNT(sizes); i++) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(sizes[i]);
        PPH_AUTO(pph_buffer_deinit) pph_buffer free_room = PPH_BUFFER_LIMIT(0);
        assert_int_equal(read_pipe(sizes[i], &out), PPH_OK);
        holds(&out, 0, sizes[i]);
        assert_int_equal(read_pipe(sizes[i], &free_room), PPH_OK);
        holds(&free_room, 0, sizes[i]);
        if (sizes[i] < 2)
            continue;
        PPH_AUTO(pph_buffer_deinit) pph_buffer less = PPH_BUFFER_LIMIT(sizes[i] - 1);
        assert_int_equal(read_pipe(sizes[i], &less), PPH_TOO_LARGE);
    }
}

static void a_buffer_after_a_read_still_grows(void **state)
{
    (void)state;
    make("a", 300);
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(300);
    assert_int_equal(pph_file_read(at("a"), &out, NULL), PPH_OK);
    assert_non_null(pph_buffer_text(&out));
    assert_int_equal(pph_buffer_text(&out)[300], 0);
    out.limit = 0;
    assert_int_equal(pph_buffer_append(&out, "x", 1, NULL), PPH_OK);
    holds(&(pph_buffer){.data = out.data, .size = 300}, 0, 300);
}

static void what_cannot_be_read_says_why(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    pph_file_map map;
    pph_error err;
    assert_fails(pph_file_read(at("none"), &out, &err), PPH_NOT_FOUND, err, at("none"));
    assert_fails(pph_file_read(folder, &out, &err), PPH_INVALID_ARGUMENT, err, "folder");
    assert_fails(pph_file_read_fd(-1, "nothing", &out, &err), PPH_IO, err, "nothing");
    make("a", 3);
    assert_fails(pph_file_read(at("a/b"), &out, &err), PPH_NOT_FOUND, err, "a/b");
    assert_fails(pph_file_map_open(&map, folder, &err), PPH_INVALID_ARGUMENT, err, folder);
    assert_fails(pph_file_map_open(&map, at("none"), &err), PPH_NOT_FOUND, err, "none");
    assert_fails(pph_file_map_open(&map, "/dev/zero", &err), PPH_INVALID_ARGUMENT, err, "regular");
}

/* Opening a named pipe that nobody writes to must not wait for a writer for ever. */
static void a_pipe_is_never_mapped_and_never_waited_for(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    pph_file_map map;
    pph_error err;
    assert_fails(pph_file_map_open(&map, at("fifo"), &err), PPH_INVALID_ARGUMENT, err, "regular");
    assert_int_equal(pph_file_look(at("fifo")), PPH_FILE_OTHER);
    remove_all();
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    make("a", 1);
    assert_int_equal(pph_file_look(at("a")), PPH_FILE_REGULAR);
    assert_int_equal(symlinkat("a", AT_FDCWD, at("link")), 0);
    assert_int_equal(pph_file_look(at("link")), PPH_FILE_REGULAR);
    assert_int_equal(unlink(at("a")), 0);
    assert_int_equal(pph_file_look(at("link")), PPH_FILE_MISSING);
    remove_all();
    assert_int_equal(pph_file_look(folder), PPH_FILE_FOLDER);
    assert_int_equal(pph_file_look("/dev/null"), PPH_FILE_OTHER);
    assert_int_equal(pph_file_look(at("none")), PPH_FILE_MISSING);
    assert_int_equal(pph_file_look(""), PPH_FILE_MISSING);
}

static void a_mapping_shows_the_file(void **state)
{
    (void)state;
    make("a", 70000);
    pph_file_map map;
    assert_int_equal(pph_file_map_open(&map, at("a"), NULL), PPH_OK);
    holds(&(pph_buffer){.data = (uint8_t *)map.data, .size = map.size}, 0, 70000);
    /* Forgotten pages come back from the file. Ranges past its end are none. */
    pph_file_map_forget(&map, 0, map.size);
    pph_file_map_forget(&map, 1, 5000);
    pph_file_map_forget(&map, 70001, 1);
    pph_file_map_forget(&map, 5, SIZE_MAX);
    pph_file_map_forget(&map, 70000, 0);
    holds(&(pph_buffer){.data = (uint8_t *)map.data, .size = map.size}, 0, 70000);
    pph_file_map_close(&map);
    assert_null(map.data);
    pph_file_map_close(&map);
}

static void an_empty_file_maps_to_nothing(void **state)
{
    (void)state;
    make("a", 0);
    pph_file_map map = {(const uint8_t *)"x", 1};
    assert_int_equal(pph_file_map_open(&map, at("a"), NULL), PPH_OK);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    pph_file_map_forget(&map, 0, 0);
    pph_file_map_close(&map);
}

static void a_write_replaces_and_leaves_nothing_behind(void **state)
{
    (void)state;
    remove_all();
    make("a", 500);
    make("a", 20);
    assert_int_equal(count_files(), 1);
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_file_read(at("a"), &out, NULL), PPH_OK);
    holds(&out, 0, 20);
    pph_error err;
    assert_fails(pph_file_write(at("none/a"), "x", 1, &err), PPH_NOT_FOUND, err, "none/a");
    assert_int_equal(mkdir(at("d"), 0700), 0);
    assert_fails(pph_file_write(at("d"), "x", 1, &err), PPH_IO, err, "/d");
    assert_int_equal(count_files(), 2);
    rmdir(at("d"));
}

static unsigned mode_of(const char *name)
{
    struct stat status;
    assert_int_equal(stat(at(name), &status), 0);
    return status.st_mode & 0777;
}

static void permissions_are_kept_and_the_umask_obeyed(void **state)
{
    (void)state;
    remove_all();
    mode_t before = umask(077);
    make("a", 1);
    umask(022);
    make("b", 1);
    make("a", 2);
    umask(before);
    assert_int_equal(mode_of("a"), 0600);
    assert_int_equal(mode_of("b"), 0644);
}

static void a_descriptor_is_read_from_where_it_stands(void **state)
{
    (void)state;
    make("a", 1000);
    int fd = open(at("a"), O_RDONLY);
    assert_int_equal(lseek(fd, 900, SEEK_SET), 900);
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(100);
    pph_status status = pph_file_read_fd(fd, "a", &out, NULL);
    close(fd);
    assert_int_equal(status, PPH_OK);
    assert_int_equal(out.size, 100);
    assert_int_equal(out.data[99], (uint8_t)(999 * 31 + 7));
}

static pph_status read_and_write(pph_buffer *out)
{
    PPH_TRY(pph_file_read(at("a"), out, NULL));
    return pph_file_write(at("b"), out->data, out->size, NULL);
}

static void no_memory_is_reported(void **state)
{
    (void)state;
    make("a", 1000);
    pph_buffer out = PPH_BUFFER_LIMIT(0);
    sweep_allocations(read_and_write(&out), pph_buffer_deinit(&out), 2);
}

static void joins(const char *left, const char *right, const char *wanted)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(left, right);
    assert_string_equal(path, wanted);
}

static void paths_are_joined_and_named(void **state)
{
    (void)state;
    joins("a", "b", "a/b");
    joins("a/", "b", "a/b");
    joins("/", "b", "/b");
    joins("", "b", "b");
    assert_string_equal(pph_path_name("a/b"), "b");
    assert_string_equal(pph_path_name("b"), "b");
    assert_string_equal(pph_path_name("a/b//"), "b//");
    assert_string_equal(pph_path_name("/"), "/");
    assert_string_equal(pph_path_name(""), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_whole_at_any_limit),
        cmocka_unit_test(reading_appends),
        cmocka_unit_test(files_without_a_size_are_read),
        cmocka_unit_test(a_pipe_is_read_to_its_end),
        cmocka_unit_test(a_buffer_after_a_read_still_grows),
        cmocka_unit_test(what_cannot_be_read_says_why),
        cmocka_unit_test(a_pipe_is_never_mapped_and_never_waited_for),
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(a_mapping_shows_the_file),
        cmocka_unit_test(an_empty_file_maps_to_nothing),
        cmocka_unit_test(a_write_replaces_and_leaves_nothing_behind),
        cmocka_unit_test(permissions_are_kept_and_the_umask_obeyed),
        cmocka_unit_test(a_descriptor_is_read_from_where_it_stands),
        cmocka_unit_test(no_memory_is_reported),
        cmocka_unit_test(paths_are_joined_and_named),
    };
    return cmocka_run_group_tests_name("file", tests, make_folder, remove_folder);
}
