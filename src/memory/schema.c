/* The tables. */
#include "memory/schema.h"

#include "base/clock.h"
#include <stdio.h>

/* "PPHM": tells our files from those of other programs. */
enum { APPLICATION = 0x5050484D };

static const char *const migrations[] = {
    /* 1 */
    "CREATE TABLE store(id BLOB NOT NULL);"
    "INSERT INTO store VALUES(randomblob(16));"
    "CREATE TABLE memories("
    " row INTEGER PRIMARY KEY AUTOINCREMENT,"
    " id BLOB NOT NULL UNIQUE CHECK(length(id) = 16),"
    " kind INTEGER NOT NULL, status INTEGER NOT NULL,"
    " text TEXT, picture_path TEXT, picture_hash BLOB,"
    " hash BLOB NOT NULL CHECK(length(hash) = 16),"
    " created INTEGER NOT NULL, updated INTEGER NOT NULL, recalled INTEGER NOT NULL,"
    " recalls INTEGER NOT NULL, importance REAL NOT NULL, since INTEGER NOT NULL, quality REAL,"
    " source TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT NOT NULL, metadata TEXT,"
    " UNIQUE(hash, owner, agent));"
    "CREATE INDEX memories_created ON memories(created);"
    "CREATE INDEX memories_owner ON memories(owner, agent, created);"
    "CREATE INDEX memories_status ON memories(status, created);"
    "CREATE TABLE tags("
    " memory INTEGER NOT NULL REFERENCES memories(row) ON DELETE CASCADE,"
    " place INTEGER NOT NULL, tag TEXT NOT NULL,"
    " PRIMARY KEY(memory, place)) WITHOUT ROWID;"
    "CREATE INDEX tags_tag ON tags(tag, memory);"
    "CREATE TABLE pictures("
    " memory INTEGER PRIMARY KEY REFERENCES memories(row) ON DELETE CASCADE,"
    " bytes BLOB NOT NULL);"
    "CREATE TABLE models("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, dimensions INTEGER NOT NULL);"
    "CREATE TABLE vectors("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " memory INTEGER NOT NULL REFERENCES memories(row) ON DELETE CASCADE,"
    " model INTEGER NOT NULL REFERENCES models(id),"
    " part INTEGER NOT NULL, vector BLOB NOT NULL,"
    " UNIQUE(memory, model, part));"
    "CREATE INDEX vectors_model ON vectors(model, seq);"
    "CREATE TABLE gone("
    " step INTEGER PRIMARY KEY AUTOINCREMENT, model INTEGER NOT NULL, seq INTEGER NOT NULL);"
    "CREATE INDEX gone_model ON gone(model, step);"
    "CREATE TRIGGER vectors_gone AFTER DELETE ON vectors BEGIN"
    " INSERT INTO gone(model, seq) VALUES(old.model, old.seq); END;"
    "CREATE TABLE relations("
    " source INTEGER NOT NULL REFERENCES memories(row) ON DELETE CASCADE,"
    " target INTEGER NOT NULL REFERENCES memories(row) ON DELETE CASCADE,"
    " kind TEXT NOT NULL, strength REAL NOT NULL, created INTEGER NOT NULL,"
    " PRIMARY KEY(source, target, kind)) WITHOUT ROWID;"
    "CREATE INDEX relations_target ON relations(target);"
    "CREATE VIRTUAL TABLE words USING fts5("
    " text, content='memories', content_rowid='row',"
    " tokenize='unicode61 remove_diacritics 2');"
    "CREATE TRIGGER words_insert AFTER INSERT ON memories BEGIN"
    " INSERT INTO words(rowid, text) VALUES(new.row, new.text); END;"
    "CREATE TRIGGER words_delete AFTER DELETE ON memories BEGIN"
    " INSERT INTO words(words, rowid, text) VALUES('delete', old.row, old.text); END;"
    "CREATE TRIGGER words_update AFTER UPDATE OF text ON memories BEGIN"
    " INSERT INTO words(words, rowid, text) VALUES('delete', old.row, old.text);"
    " INSERT INTO words(rowid, text) VALUES(new.row, new.text); END;",
    /* 2 */
    "ALTER TABLE models ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE queue("
    " memory INTEGER PRIMARY KEY REFERENCES memories(row) ON DELETE CASCADE,"
    " queued INTEGER NOT NULL, holder BLOB, lease INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX queue_holder ON queue(holder) WHERE holder IS NOT NULL;"
    "INSERT INTO queue(memory, queued) SELECT row, created FROM memories WHERE status IN (0, 1);"
    "CREATE TRIGGER queue_insert AFTER INSERT ON memories WHEN new.status IN (0, 1) BEGIN"
    " INSERT INTO queue(memory, queued) VALUES(new.row, new.updated); END;"
    "CREATE TRIGGER queue_pending AFTER UPDATE OF status ON memories WHEN new.status = 0 BEGIN"
    " INSERT OR IGNORE INTO queue(memory, queued) VALUES(new.row, new.updated); END;"
    "CREATE TRIGGER queue_over AFTER UPDATE OF status ON memories WHEN new.status > 1 BEGIN"
    " DELETE FROM queue WHERE memory = new.row; END;"
    "CREATE TABLE evaluations("
    " memory INTEGER PRIMARY KEY REFERENCES memories(row) ON DELETE CASCADE,"
    " status INTEGER NOT NULL, quality REAL, agreement REAL, method TEXT NOT NULL,"
    " time INTEGER NOT NULL, took INTEGER NOT NULL, error TEXT NOT NULL, scores TEXT NOT NULL,"
    " attempts INTEGER NOT NULL);",
    /* 3 */
    "CREATE TABLE thumbnails("
    " memory INTEGER PRIMARY KEY REFERENCES memories(row) ON DELETE CASCADE,"
    " bytes BLOB NOT NULL);",
};

static pph_status pragma(pph_sql *sql, const char *text, int64_t *out, pph_error *err)
{
    pph_sql_statement *statement;
    bool row;
    PPH_TRY(pph_sql_prepare(sql, text, &statement, err));
    PPH_TRY(pph_sql_step(statement, &row, err));
    *out = row ? pph_sql_integer(statement, 0) : 0;
    pph_sql_reset(statement);
    return PPH_OK;
}

static pph_status read_form(pph_sql *sql, int64_t *version, pph_error *err)
{
    int64_t application, tables;
    PPH_TRY(pragma(sql, "PRAGMA application_id", &application, err));
    PPH_TRY(pragma(sql, "PRAGMA user_version", version, err));
    PPH_TRY(pragma(sql, "SELECT count(*) FROM sqlite_schema", &tables, err));
    if (application != APPLICATION && (application || *version || tables))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: a database of another program; give the memory a file of its own",
                        pph_sql_path(sql));
    if (*version < 0 || *version > (int64_t)PPH_COUNT(migrations))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: made by a later version (form %lld, this one knows %zu)",
                        pph_sql_path(sql), (long long)*version, PPH_COUNT(migrations));
    return PPH_OK;
}

typedef struct form {
    pph_sql *sql;
    int64_t version;
} form;

/* In one transaction: another process may be making the file, and half of it would look like another
 * program's. */
static pph_status read_form_inside(void *context, pph_error *err)
{
    form *self = context;
    return read_form(self->sql, &self->version, err);
}

/* SQLite does not wait for a lock when it is to change the kind of journal, as it does elsewhere. */
static pph_status use_log(pph_sql *sql, pph_error *err)
{
    pph_nanos deadline = pph_clock_after_ms(pph_sql_patience(sql));
    for (;;) {
        pph_status status = pph_sql_run(sql, "PRAGMA journal_mode = WAL", err);
        if (status != PPH_TIMEOUT || pph_clock_now() >= deadline)
            return status;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

/* Under the write lock: another process may have done it meanwhile. */
static pph_status migrate(void *context, pph_error *err)
{
    pph_sql *sql = context;
    int64_t version;
    PPH_TRY(read_form(sql, &version, err));
    for (; version < (int64_t)PPH_COUNT(migrations); version++)
        PPH_TRY(pph_sql_run(sql, migrations[version], err));
    char text[96];
    snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %lld",
             APPLICATION, (long long)version);
    return pph_sql_run(sql, text, err);
}

pph_status pph_schema_prepare(pph_sql *sql, pph_error *err)
{
    form found = {sql, 0};
    PPH_TRY(pph_sql_transaction(sql, false, read_form_inside, &found, err));
    PPH_TRY(use_log(sql, err));
    PPH_TRY(pph_sql_run(sql,
                        "PRAGMA synchronous = FULL;"
                        "PRAGMA foreign_keys = ON; PRAGMA cache_size = -16384;"
                        "PRAGMA temp_store = MEMORY",
                        err));
    if (found.version == (int64_t)PPH_COUNT(migrations))
        return PPH_OK;
    return pph_sql_transaction(sql, true, migrate, sql, err);
}
