/* The door to SQLite.
 *
 * SQLite's heap is ours (base/mem.h), with the size kept before each piece, since SQLite asks for it.
 * The library is set up once, before the first connection; connections are opened without SQLite's
 * own mutexes, as each has one user at a time. */
#include "memory/sql.h"

#include "base/mem.h"
#include "memory/decay.h"
#include "memory/sql_rank.h"
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

struct pph_sql_statement {
    pph_sql *sql;
    sqlite3_stmt *inner;
    int failed; /* the first failure of a bind */
    char *text;
    pph_sql_statement *next;
};

struct pph_sql {
    sqlite3 *inner;
    char *path;
    int busy_ms;
    pph_sql_statement *statements;
};

/* SQLite's heap. A piece has its size in the 16 bytes before it, which keep it aligned. */
enum { HEAD = 16, STATEMENTS_KEPT = 96 };

static void *heap_take(int size)
{
    if (size <= 0)
        return NULL;
    uint8_t *piece = pph_resize(NULL, 1, (size_t)size + HEAD);
    if (!piece)
        return NULL;
    memcpy(piece, &size, sizeof size);
    return piece + HEAD;
}

static void heap_give(void *piece)
{
    if (piece)
        pph_free((uint8_t *)piece - HEAD);
}

static int heap_size(void *piece)
{
    int size = 0;
    if (piece)
        memcpy(&size, (uint8_t *)piece - HEAD, sizeof size);
    return size;
}

static void *heap_resize(void *piece, int size)
{
    if (!piece)
        return heap_take(size);
    if (size <= 0) {
        heap_give(piece);
        return NULL;
    }
    uint8_t *resized = pph_resize((uint8_t *)piece - HEAD, 1, (size_t)size + HEAD);
    if (!resized)
        return NULL;
    memcpy(resized, &size, sizeof size);
    return resized + HEAD;
}

static int heap_round(int size)
{
    return size > INT_MAX - 7 ? size : (size + 7) & ~7;
}

static int heap_begin(void *nothing)
{
    (void)nothing;
    return SQLITE_OK;
}

static void heap_end(void *nothing)
{
    (void)nothing;
}

/* decayed(importance, since, now, rate, floor): what is left of it, times in milliseconds. */
static void decayed(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    double importance = sqlite3_value_double(values[0]);
    int64_t since = sqlite3_value_int64(values[1]), now = sqlite3_value_int64(values[2]);
    sqlite3_result_double(context,
                          pph_decay(importance, since, now, sqlite3_value_double(values[3]),
                                    sqlite3_value_double(values[4])));
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int set_up_result;

static void set_up(void)
{
    static sqlite3_mem_methods heap = {heap_take,  heap_give,  heap_resize, heap_size,
                                       heap_round, heap_begin, heap_end,    NULL};
    /* Where another part of the process has begun with SQLite already, its heap stays as it is. */
    (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &heap);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    set_up_result = sqlite3_threadsafe() ? sqlite3_initialize() : SQLITE_MISUSE;
}

static pph_status status_of(int code)
{
    switch (code & 0xFF) {
    case SQLITE_NOMEM:
        return PPH_OUT_OF_MEMORY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return PPH_TIMEOUT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return PPH_CORRUPT;
    case SQLITE_TOOBIG:
        return PPH_TOO_LARGE;
    case SQLITE_INTERRUPT:
        return PPH_CANCELLED;
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_PROTOCOL:
        return PPH_IO;
    default:
        return PPH_INTERNAL;
    }
}

static pph_status fail(const pph_sql *sql, int code, pph_error *err)
{
    pph_status status = status_of(code);
    if (status == PPH_TIMEOUT)
        return PPH_FAIL(err, status, "%s: another process keeps the memory locked; try again",
                        sql->path);
    /* An extended SQLITE_IOERR_NOMEM is want of memory as well. */
    if (code == SQLITE_IOERR_NOMEM || status == PPH_OUT_OF_MEMORY)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "%s: no memory for the database", sql->path);
    return PPH_FAIL(err, status, "%s: %s", sql->path, sqlite3_errmsg(sql->inner));
}

pph_status pph_sql_open(pph_sql **out, const char *path, int busy_ms, pph_error *err)
{
    pthread_once(&once, set_up);
    if (set_up_result != SQLITE_OK)
        return PPH_FAIL(err, status_of(set_up_result), "SQLite does not start: %s",
                        sqlite3_errstr(set_up_result));
    PPH_AUTO(pph_sql_close) pph_sql *sql = pph_alloc(sizeof *sql);
    if (!sql || !(sql->path = pph_str_copy(pph_str_view(path))))
        return PPH_FAIL_MEMORY(err, sizeof *sql + strlen(path));
    int code = sqlite3_open_v2(
        path, &sql->inner, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK && !sql->inner)
        return PPH_FAIL_MEMORY(err, 1);
    if (code != SQLITE_OK)
        return fail(sql, code, err);
    sqlite3_extended_result_codes(sql->inner, 1);
    sql->busy_ms = busy_ms;
    sqlite3_busy_timeout(sql->inner, busy_ms);
    code = sqlite3_create_function_v2(sql->inner, "decayed", 5,
                                      SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
                                      decayed, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = pph_sql_rank_register(sql->inner);
    if (code != SQLITE_OK)
        return fail(sql, code, err);
    *out = PPH_TAKE(sql);
    return PPH_OK;
}

static void statement_free(pph_sql_statement **statement)
{
    if (*statement) {
        sqlite3_finalize((*statement)->inner);
        pph_free((*statement)->text);
        pph_free(*statement);
    }
}

/* More than are ever in use at once: of those past it the ones that were not used for longest go. */
static void forget_old(pph_sql *sql)
{
    pph_sql_statement **at = &sql->statements;
    for (int kept = 0; *at && kept < STATEMENTS_KEPT; kept++)
        at = &(*at)->next;
    while (*at) {
        pph_sql_statement *old = *at;
        *at = old->next;
        statement_free(&old);
    }
}

void pph_sql_close(pph_sql **sql)
{
    pph_sql *old = *sql;
    *sql = NULL;
    if (!old)
        return;
    for (pph_sql_statement *next, *statement = old->statements; statement; statement = next) {
        next = statement->next;
        statement_free(&statement);
    }
    sqlite3_close(old->inner);
    pph_free(old->path);
    pph_free(old);
}

pph_status pph_sql_run(pph_sql *sql, const char *text, pph_error *err)
{
    int code = sqlite3_exec(sql->inner, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? PPH_OK : fail(sql, code, err);
}

pph_status pph_sql_prepare(pph_sql *sql, const char *text, pph_sql_statement **out, pph_error *err)
{
    for (pph_sql_statement **at = &sql->statements; *at; at = &(*at)->next)
        if (strcmp((*at)->text, text) == 0) {
            pph_sql_statement *found = *at;
            /* What is used often stays in front. */
            *at = found->next;
            found->next = sql->statements;
            sql->statements = found;
            pph_sql_reset(found);
            *out = found;
            return PPH_OK;
        }
    PPH_AUTO(statement_free) pph_sql_statement *statement = pph_alloc(sizeof *statement);
    if (!statement || !(statement->text = pph_str_copy(pph_str_view(text))))
        return PPH_FAIL_MEMORY(err, sizeof *statement + strlen(text));
    statement->sql = sql;
    int code = sqlite3_prepare_v3(sql->inner, text, -1, SQLITE_PREPARE_PERSISTENT,
                                  &statement->inner, NULL);
    if (code != SQLITE_OK)
        return fail(sql, code, err);
    statement->next = sql->statements;
    sql->statements = statement;
    *out = PPH_TAKE(statement);
    forget_old(sql);
    return PPH_OK;
}

static void bound(pph_sql_statement *statement, int code)
{
    if (statement->failed == SQLITE_OK)
        statement->failed = code;
}

void pph_sql_bind_null(pph_sql_statement *statement, int at)
{
    bound(statement, sqlite3_bind_null(statement->inner, at));
}

void pph_sql_bind_integer(pph_sql_statement *statement, int at, int64_t value)
{
    bound(statement, sqlite3_bind_int64(statement->inner, at, value));
}

void pph_sql_bind_number(pph_sql_statement *statement, int at, double value)
{
    bound(statement, isnan(value) ? sqlite3_bind_null(statement->inner, at)
                                  : sqlite3_bind_double(statement->inner, at, value));
}

void pph_sql_bind_text(pph_sql_statement *statement, int at, pph_str text)
{
    bound(statement, text.data ? sqlite3_bind_text64(statement->inner, at, text.data, text.size,
                                                     SQLITE_STATIC, SQLITE_UTF8)
                               : sqlite3_bind_null(statement->inner, at));
}

void pph_sql_bind_string(pph_sql_statement *statement, int at, const char *text)
{
    pph_sql_bind_text(statement, at, text ? pph_str_view(text) : (pph_str){NULL, 0});
}

void pph_sql_bind_blob(pph_sql_statement *statement, int at, const void *bytes, size_t size)
{
    bound(statement, bytes ? sqlite3_bind_blob64(statement->inner, at, bytes, size, SQLITE_STATIC)
                           : sqlite3_bind_null(statement->inner, at));
}

pph_status pph_sql_step(pph_sql_statement *statement, bool *row, pph_error *err)
{
    *row = false;
    int code = statement->failed;
    if (code == SQLITE_OK)
        code = sqlite3_step(statement->inner);
    if (code == SQLITE_ROW) {
        *row = true;
        return PPH_OK;
    }
    pph_status status = PPH_OK;
    if (code != SQLITE_DONE)
        status = fail(statement->sql, code, err);
    pph_sql_reset(statement);
    return status;
}

pph_status pph_sql_do(pph_sql_statement *statement, pph_error *err)
{
    bool row;
    pph_status status = pph_sql_step(statement, &row, err);
    pph_sql_reset(statement);
    return status;
}

void pph_sql_reset(pph_sql_statement *statement)
{
    if (!statement)
        return;
    /* Its result repeats what the last step said. */
    (void)sqlite3_reset(statement->inner);
    (void)sqlite3_clear_bindings(statement->inner);
    statement->failed = SQLITE_OK;
}

void pph_sql_reset_at(pph_sql_statement **statement)
{
    pph_sql_reset(*statement);
}

bool pph_sql_is_null(pph_sql_statement *statement, int column)
{
    return sqlite3_column_type(statement->inner, column) == SQLITE_NULL;
}

int64_t pph_sql_integer(pph_sql_statement *statement, int column)
{
    return sqlite3_column_int64(statement->inner, column);
}

double pph_sql_number(pph_sql_statement *statement, int column)
{
    return pph_sql_is_null(statement, column) ? (double)NAN
                                              : sqlite3_column_double(statement->inner, column);
}

pph_str pph_sql_text(pph_sql_statement *statement, int column)
{
    /* The pointer first: asking for it may change the value's form, and its size with it. */
    const char *data = sqlite3_column_blob(statement->inner, column);
    return (pph_str){data, data ? (size_t)sqlite3_column_bytes(statement->inner, column) : 0};
}

int64_t pph_sql_last_row(const pph_sql *sql)
{
    return sqlite3_last_insert_rowid(sql->inner);
}

int64_t pph_sql_changes(const pph_sql *sql)
{
    return sqlite3_changes64(sql->inner);
}

const char *pph_sql_path(const pph_sql *sql)
{
    return sql->path;
}

int pph_sql_patience(const pph_sql *sql)
{
    return sql->busy_ms;
}

pph_status pph_sql_transaction(pph_sql *sql, bool writes,
                               pph_status (*work)(void *context, pph_error *err), void *context,
                               pph_error *err)
{
    PPH_TRY(pph_sql_run(sql, writes ? "BEGIN IMMEDIATE" : "BEGIN", err));
    pph_status status = work(context, err);
    if (status == PPH_OK)
        status = pph_sql_run(sql, "COMMIT", err);
    /* Some failures have rolled back already. */
    if (status != PPH_OK && !sqlite3_get_autocommit(sql->inner))
        sqlite3_exec(sql->inner, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

pph_status pph_sql_part(pph_sql *sql, pph_status (*work)(void *context, pph_error *err),
                        void *context, bool *lost, pph_error *err)
{
    *lost = true;
    PPH_TRY(pph_sql_run(sql, "SAVEPOINT part", err));
    pph_status status = work(context, err);
    if (status == PPH_OK) {
        PPH_TRY(pph_sql_run(sql, "RELEASE part", err));
        *lost = false;
    } else if (!sqlite3_get_autocommit(sql->inner)) {
        *lost = sqlite3_exec(sql->inner, "ROLLBACK TO part", NULL, NULL, NULL) != SQLITE_OK ||
                sqlite3_exec(sql->inner, "RELEASE part", NULL, NULL, NULL) != SQLITE_OK;
    }
    return status;
}
