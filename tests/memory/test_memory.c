/* The public operations of a memory, over a fake embedder. */
#include "base/file.h"
#include "image/formats.h"
#include "memory/decay.h"
#include "memory/service.h"
#include "opened.h"
#include <sys/stat.h>

static bool same(pph_memory_id a, pph_memory_id b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void every_member_persists(void **state)
{
    (void)state;
    pph_memory *memory = opened("members");
    const char *const tags[] = {"blue", "b\xC3\xA4r", "third one"};
    static const char picture[] = "a picture of a bear";
    pph_memory_item item = pph_memory_item_defaults();
    item.kind = PPH_MEMORY_PROCEDURAL;
    item.status = PPH_MEMORY_FAILED;
    item.text = "How one feeds a bear: \"carefully\", \xE2\x80\x94 twice\na day";
    item.picture = picture;
    item.picture_size = sizeof picture - 1;
    item.picture_path = "/somewhere/bear.png";
    item.created = 1700000000123;
    item.updated = 1700000001123;
    item.recalled = 1700000002123;
    item.recalls = 7;
    item.importance = 0.875;
    item.quality = 0.25;
    item.source = "a book";
    item.user = "ann";
    item.agent = "keeper";
    item.metadata = "{\"page\": 12}";
    item.tags = tags;
    item.tag_count = 3;
    pph_memory_added added = add_item(memory, &item);
    assert_false(added.merged);
    assert_int_equal(added.vectors, 2);
    assert_int_equal(added.warning.status, PPH_OK);
    pph_memory_close(&memory);
    memory = opened("members"); /* from disk */
    pph_future *future = succeeds(pph_memory_get(memory, added.id));
    const pph_memories *got = pph_future_value(future);
    assert_int_equal(got->count, 1);
    const pph_memory_item *back = &got->items[0];
    assert_true(same(back->id, added.id));
    assert_int_equal(back->kind, item.kind);
    assert_int_equal(back->status, item.status);
    assert_string_equal(back->text, item.text);
    assert_int_equal(back->picture_size, item.picture_size);
    assert_memory_equal(back->picture, picture, item.picture_size);
    assert_string_equal(back->picture_path, item.picture_path);
    assert_int_equal(back->created, item.created);
    assert_int_equal(back->updated, item.updated);
    assert_int_equal(back->recalled, item.recalled);
    assert_int_equal(back->recalls, 7);
    assert_true(back->importance == 0.875 && back->quality == 0.25);
    assert_string_equal(back->source, "a book");
    assert_string_equal(back->user, "ann");
    assert_string_equal(back->agent, "keeper");
    assert_string_equal(back->metadata, "{\"page\": 12}");
    assert_int_equal(back->tag_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(back->tags[i], tags[i]);
    pph_future_free(&future);
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("members");
}

/* A picture file whose pixels are all of one grey. */
static void write_picture(const char *path, uint8_t grey)
{
    pph_image image;
    pph_buffer bytes = {0};
    assert_int_equal(pph_image_new(&image, 320, 200, NULL), PPH_OK);
    memset(image.rgb, grey, (size_t)320 * 200 * 3);
    assert_int_equal(pph_jpeg_encode(&bytes, &image, 90, NULL), PPH_OK);
    assert_int_equal(pph_file_write(path, bytes.data, bytes.size, NULL), PPH_OK);
    pph_buffer_deinit(&bytes);
    pph_image_deinit(&image);
}

static void has_thumbnail(const pph_memory_item *item, uint8_t grey)
{
    pph_image image = {0};
    assert_true(item->thumbnail_size > 0);
    assert_int_equal(pph_image_decode(&image, item->thumbnail, item->thumbnail_size, NULL, NULL),
                     PPH_OK);
    assert_int_equal(image.width, 160);
    assert_int_equal(image.height, 100);
    assert_in_range(image.rgb[0], grey - 3, grey + 3);
    pph_image_deinit(&image);
}

/* Of pictures that are kept and that are not; in what is got, listed, found, and carried over. Those that
 * are not kept, and have no text, are told from each other by their hashes alone. */
static void pictures_have_thumbnails(void **state)
{
    (void)state;
    pph_memory *memory = opened("thumbs");
    char path[3][160], file[160];
    for (int i = 0; i < 3; i++) {
        snprintf(path[i], sizeof path[i], "%s",
                 place_path(i == 0   ? "a.jpg"
                            : i == 1 ? "b.jpg"
                                     : "c.jpg"));
        write_picture(path[i], (uint8_t)(60 * (i + 1)));
        pph_memory_item item = pph_memory_item_defaults();
        item.picture_path = path[i];
        item.created = 1000 + i;
        item.thumbnail = "what is given is not taken";
        item.thumbnail_size = 10;
        assert_false(add_item(memory, &item).merged);
    }
    pph_memory_item none = pph_memory_item_defaults();
    none.picture = "no picture";
    none.picture_size = 10;
    none.created = 1003;
    none.text = "something else";
    add_item(memory, &none);
    snprintf(file, sizeof file, "%s", place_path("thumbs.jsonl"));
    assert_int_equal(number(pph_memory_export(memory, file, NULL)), 4);
    for (int i = 0; i < 3; i++)
        assert_int_equal(unlink(path[i]), 0);
    for (int turn = 0; turn < 2; turn++) {
        pph_future *future = succeeds(pph_memory_list(memory, NULL, PPH_MEMORY_OLDEST, 0, 10));
        const pph_memories *all = pph_future_value(future);
        assert_int_equal(all->count, 4);
        for (int i = 0; i < 3; i++)
            has_thumbnail(&all->items[i], (uint8_t)(60 * (i + 1)));
        assert_int_equal(all->items[3].thumbnail_size, 0);
        assert_null(all->items[3].thumbnail);
        pph_future *one = succeeds(pph_memory_get(memory, all->items[1].id));
        has_thumbnail(((const pph_memories *)pph_future_value(one))->items, 120);
        pph_future_free(&one);
        done(pph_memory_delete(memory, all->items[0].id));
        pph_future_free(&future);
        is_whole(memory);
        pph_memory_close(&memory);
        if (turn)
            break;
        memory = opened("thumbs2");
        assert_int_equal(number(pph_memory_import(memory, file)), 4);
        assert_int_equal(number(pph_memory_import(memory, file)), 0);
    }
    place_remove_store("thumbs");
    place_remove_store("thumbs2");
}

static void the_same_again_is_merged(void **state)
{
    (void)state;
    pph_memory *memory = opened("merged");
    pph_memory_item item = pph_memory_item_defaults();
    item.text = "The cat is called Mia.";
    item.importance = 0.5;
    pph_memory_added first = add_item(memory, &item);
    item.text = "  The cat\n is called   Mia. "; /* white space is no difference */
    pph_memory_added again = add_item(memory, &item);
    assert_true(again.merged && same(again.id, first.id));
    assert_int_equal(number(pph_memory_count(memory, NULL)), 1);
    pph_future *future = succeeds(pph_memory_get(memory, first.id));
    const pph_memory_item *back = ((const pph_memories *)pph_future_value(future))->items;
    assert_true(fabs(back->importance - 0.55) < 1e-12);
    assert_string_equal(back->text, "The cat is called Mia.");
    pph_future_free(&future);
    for (int i = 0; i < 20; i++)
        assert_true(add_item(memory, &item).merged);
    future = succeeds(pph_memory_get(memory, first.id));
    back = ((const pph_memories *)pph_future_value(future))->items;
    assert_true(back->importance == 1);
    pph_future_free(&future);
    /* Another's, another agent's, and one with a picture are others. */
    item.user = "ben";
    assert_false(add_item(memory, &item).merged);
    item.agent = "x";
    assert_false(add_item(memory, &item).merged);
    item.picture = "png";
    item.picture_size = 3;
    assert_false(add_item(memory, &item).merged);
    assert_true(add_item(memory, &item).merged);
    assert_int_equal(number(pph_memory_count(memory, NULL)), 4);
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("merged");
}

static void an_update_sets_what_it_names(void **state)
{
    (void)state;
    pph_memory *memory = opened("update");
    pph_memory_id id = add_text(memory, "The car stands in the garage.");
    pph_memory_id other = add_text(memory, "Ships sail.");
    const char *const tags[] = {"car"};
    pph_memory_item item = pph_memory_item_defaults();
    item.id = id;
    item.text = "The bicycle stands in the cellar.";
    item.importance = 0.9;
    item.quality = 0.75;
    item.tags = tags;
    item.tag_count = 1;
    done(pph_memory_update(memory, &item,
                           PPH_MEMORY_SET_TEXT | PPH_MEMORY_SET_QUALITY | PPH_MEMORY_SET_TAGS));
    pph_future *future = succeeds(pph_memory_get(memory, id));
    const pph_memory_item *back = ((const pph_memories *)pph_future_value(future))->items;
    assert_string_equal(back->text, "The bicycle stands in the cellar.");
    assert_true(back->importance == 0.5 && back->quality == 0.75);
    assert_string_equal(back->tags[0], "car");
    pph_future_free(&future);
    assert_string_equal(
        found(memory,
              &(pph_memory_query){.text = "bicycle cellar", .without_words = true, .limit = 1}),
        "The bicycle stands in the cellar.");
    assert_string_equal(
        found(memory, &(pph_memory_query){.text = "garage", .without_vectors = true}), "");
    item.text = "Ships sail.";
    fails(pph_memory_update(memory, &item, PPH_MEMORY_SET_TEXT), PPH_INVALID_ARGUMENT,
          "has that content already");
    item.text = NULL;
    fails(pph_memory_update(memory, &item, PPH_MEMORY_SET_TEXT), PPH_INVALID_ARGUMENT,
          "needs a text or a picture");
    item.importance = NAN;
    fails(pph_memory_update(memory, &item, PPH_MEMORY_SET_IMPORTANCE), PPH_INVALID_ARGUMENT,
          "not between 0 and 1");
    done(pph_memory_delete(memory, other));
    fails(pph_memory_delete(memory, other), PPH_NOT_FOUND, "there is no memory");
    fails(pph_memory_get(memory, other), PPH_NOT_FOUND, "there is no memory");
    item.id = other;
    fails(pph_memory_update(memory, &item, PPH_MEMORY_SET_KIND), PPH_NOT_FOUND, "no memory");
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("update");
}

static void filters_narrow(void **state)
{
    (void)state;
    pph_memory *memory = opened("filters");
    static const char *const even[] = {"even", "number"}, *const odd[] = {"odd"};
    for (int i = 0; i < 40; i++) {
        char text[64];
        snprintf(text, sizeof text, "the number %d is remembered", i);
        pph_memory_item item = pph_memory_item_defaults();
        item.text = text;
        item.kind = (pph_memory_kind)(i % PPH_MEMORY_KIND_COUNT);
        item.status = (pph_memory_status)(i % PPH_MEMORY_STATUS_COUNT);
        item.created = 1000000 + i;
        item.recalled = pph_memory_now();
        item.importance = i / 40.0;
        item.quality = i % 4 ? i / 40.0 : (double)NAN;
        item.user = i % 3 ? "ann" : "ben";
        item.agent = i % 5 ? NULL : "clerk";
        item.source = i == 7 ? "seven" : NULL;
        item.tags = i % 2 ? odd : even;
        item.tag_count = i % 2 ? 1 : 2;
        add_item(memory, &item);
    }
    const struct {
        pph_memory_filter filter;
        size_t count;
    } cases[] = {
        {{.kinds = 1u << PPH_MEMORY_EPISODIC}, 8},
        {{.kinds = 1u << PPH_MEMORY_EPISODIC | 1u << PPH_MEMORY_WORKING}, 16},
        {{.statuses = 1u << PPH_MEMORY_SUCCESS}, 8},
        {{.user = "ben"}, 14},
        {{.user = "ann", .agent = "clerk"}, 5},
        {{.source = "seven"}, 1},
        {{.tags = even, .tag_count = 2}, 20},
        {{.tags = odd, .tag_count = 1, .user = "ben"}, 7},
        {{.created_from = 1000010, .created_to = 1000019}, 10},
        {{.importance = 0.749}, 10},
        {{.quality = 0.75}, 8},
        {{.with_text = true}, 40},
        {{.with_picture = true}, 0},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        const pph_memory_filter *filter = &cases[i].filter;
        assert_int_equal(number(pph_memory_count(memory, filter)), cases[i].count);
        pph_future *future = succeeds(pph_memory_list(memory, filter, PPH_MEMORY_OLDEST, 0, 1000));
        const pph_memories *list = pph_future_value(future);
        assert_int_equal(list->count, cases[i].count);
        for (size_t k = 1; k < list->count; k++)
            assert_true(list->items[k - 1].created < list->items[k].created);
        pph_future_free(&future);
        /* A search under the filter finds those alone, by either way. */
        for (int way = 0; way < 2; way++) {
            future =
                succeeds(pph_memory_search(memory, &(pph_memory_query){.text = "number remembered",
                                                                       .filter = filter,
                                                                       .limit = 100,
                                                                       .peek = true,
                                                                       .without_vectors = way == 0,
                                                                       .without_words = way == 1}));
            const pph_memory_hits *hits = pph_future_value(future);
            assert_int_equal(hits->count, cases[i].count);
            pph_future_free(&future);
        }
    }
    pph_future *future = succeeds(pph_memory_list(memory, NULL, PPH_MEMORY_MOST_IMPORTANT, 2, 3));
    const pph_memories *list = pph_future_value(future);
    assert_int_equal(list->count, 3);
    assert_string_equal(list->items[0].text, "the number 37 is remembered");
    pph_future_free(&future);
    pph_memory_close(&memory);
    place_remove_store("filters");
}

static void search_fuses_its_ways(void **state)
{
    (void)state;
    pph_memory *memory = opened("search");
    add_text(memory, "Ann's dog is called Rex");
    add_text(memory, "Ben's cat is called Mia");
    add_text(memory, "The meeting was moved to Friday");
    add_text(memory, "Rex the dog likes the garden");
    pph_memory_item item = pph_memory_item_defaults();
    item.picture = "dog in a garden";
    item.picture_size = 15;
    add_item(memory, &item);
    pph_memory_query query = {.text = "what is Ann's dog called", .limit = 2, .peek = true};
    assert_non_null(strstr(found(memory, &query), "Ann's dog is called Rex"));
    pph_future *future = succeeds(pph_memory_search(memory, &query));
    const pph_memory_hits *hits = pph_future_value(future);
    assert_int_equal(hits->count, 2);
    assert_string_equal(hits->items[0].item.text, "Ann's dog is called Rex");
    assert_int_equal(hits->items[0].cosine_rank, 1);
    assert_int_equal(hits->items[0].words_rank, 1);
    assert_true(hits->items[0].cosine > 0.5 && hits->items[0].words > 0);
    assert_true(hits->items[0].score > hits->items[1].score && hits->items[0].score <= 1);
    assert_true(hits->items[0].relevance > hits->items[1].relevance);
    assert_int_equal(hits->items[0].item.recalls, 0);
    pph_future_free(&future);
    /* A text finds a picture, a picture a text. */
    assert_string_equal(
        found(memory, &(pph_memory_query){.text = "dog garden", .limit = 1, .without_words = true}),
        "(picture)");
    const pph_input picture = pph_input_bytes("meeting Friday", 14);
    assert_string_equal(found(memory, &(pph_memory_query){.picture = &picture, .limit = 1}),
                        "The meeting was moved to Friday");
    /* Nothing in a text is an operator of the index of words. */
    static const char *const odd[] = {"\"",    "AND OR NOT", "a* NEAR(b c)",     "x:y -z",
                                      "'; --", "()",         "\xF0\x9F\x98\x80", " \t\n"};
    for (size_t i = 0; i < PPH_COUNT(odd); i++)
        (void)found(memory, &(pph_memory_query){.text = odd[i]});
    fails(pph_memory_search(memory, &(pph_memory_query){.text = ""}), PPH_INVALID_ARGUMENT,
          "nothing to look for");
    fails(pph_memory_search(memory, &(pph_memory_query){.text = "\xFF"}), PPH_INVALID_ARGUMENT,
          "not valid UTF-8");
    pph_memory_close(&memory);
    place_remove_store("search");
}

static void recalling_refreshes(void **state)
{
    (void)state;
    assert_true(fabs(pph_decay(0.8, 0, 86400000, 0.1, 0.01) - 0.8 * exp(-0.1)) < 1e-12);
    assert_true(pph_decay(0.8, 0, (int64_t)86400000 * 1000, 0.1, 0.01) == 0.01);
    assert_true(pph_decay(0.005, 0, (int64_t)86400000 * 1000, 0.1, 0.01) == 0.005);
    assert_true(pph_decay(0.8, 1000, 0, 0.1, 0.01) == 0.8);
    pph_memory *memory = opened("recall");
    pph_memory_item item = pph_memory_item_defaults();
    item.text = "something old about whales";
    item.importance = 0.8;
    item.created = pph_memory_now() - (int64_t)86400000 * 10;
    pph_memory_id id = add_item(memory, &item).id;
    const pph_memory_query query = {.text = "whales"};
    double importance[2];
    for (int i = 0; i < 2; i++) {
        pph_future *future = succeeds(pph_memory_search(memory, &query));
        importance[i] = ((const pph_memory_hits *)pph_future_value(future))->items[0].importance;
        pph_future_free(&future);
        pph_memory_close(&memory); /* the note of it is written by then */
        memory = opened("recall");
    }
    assert_true(fabs(importance[0] - 0.8 * exp(-1)) < 1e-3);
    assert_true(fabs(importance[1] - 0.8) < 1e-3);
    pph_future *future = succeeds(pph_memory_get(memory, id));
    const pph_memory_item *back = ((const pph_memories *)pph_future_value(future))->items;
    assert_int_equal(back->recalls, 2);
    assert_true(back->recalled >= pph_memory_now() - 60000);
    pph_future_free(&future);
    pph_memory_close(&memory);
    place_remove_store("recall");
}

static void relations_are_walked(void **state)
{
    (void)state;
    pph_memory *memory = opened("relations");
    pph_memory_id ids[6];
    for (int i = 0; i < 6; i++) {
        char text[32];
        snprintf(text, sizeof text, "memory %d", i);
        ids[i] = add_text(memory, text);
    }
    /* 0 -> 1 -> 2 -> 3, 4 -> 0, 2 -> 0 closes a ring; 5 stands alone */
    done(pph_memory_relate(memory, ids[0], ids[1], "follows", 0.5));
    done(pph_memory_relate(memory, ids[1], ids[2], "follows", 0.5));
    done(pph_memory_relate(memory, ids[2], ids[3], "follows", 0.5));
    done(pph_memory_relate(memory, ids[4], ids[0], "similar", 0.9));
    done(pph_memory_relate(memory, ids[2], ids[0], "similar", 0.1));
    const struct {
        int from;
        const char *kind;
        size_t depth, edges;
    } cases[] = {{0, NULL, 1, 3},      {0, NULL, 2, 5}, {0, "follows", 1, 1}, {0, "follows", 3, 3},
                 {3, "follows", 2, 2}, {5, NULL, 8, 0}, {4, "similar", 2, 2}};
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_future *future = succeeds(
            pph_memory_neighbours(memory, ids[cases[i].from], cases[i].kind, cases[i].depth, 0));
        const pph_memory_relations *edges = pph_future_value(future);
        assert_int_equal(edges->count, cases[i].edges);
        for (size_t k = 0; k < edges->count; k++)
            assert_true(edges->items[k].depth >= 1 && edges->items[k].depth <= cases[i].depth);
        pph_future_free(&future);
    }
    done(pph_memory_relate(memory, ids[0], ids[1], "follows", 1)); /* set anew, not twice */
    pph_future *future = succeeds(pph_memory_neighbours(memory, ids[1], "follows", 1, 0));
    const pph_memory_relations *edges = pph_future_value(future);
    assert_int_equal(edges->count, 2);
    assert_true(edges->items[0].strength == 1 && same(edges->items[0].from, ids[0]));
    pph_future_free(&future);
    done(pph_memory_unrelate(memory, ids[0], ids[1], NULL));
    fails(pph_memory_unrelate(memory, ids[0], ids[1], NULL), PPH_NOT_FOUND, "no such relation");
    fails(pph_memory_relate(memory, ids[0], ids[0], "x", 1), PPH_INVALID_ARGUMENT, "itself");
    fails(pph_memory_relate(memory, ids[0], ids[1], "", 1), PPH_INVALID_ARGUMENT, "kind");
    fails(pph_memory_relate(memory, ids[0], ids[1], "x", 2), PPH_INVALID_ARGUMENT, "strength");
    fails(pph_memory_neighbours(memory, ids[0], NULL, 9, 0), PPH_INVALID_ARGUMENT, "depth");
    done(pph_memory_delete(memory, ids[2])); /* its edges go with it */
    future = succeeds(pph_memory_neighbours(memory, ids[0], NULL, 3, 0));
    assert_int_equal(((const pph_memory_relations *)pph_future_value(future))->count, 1);
    pph_future_free(&future);
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("relations");
}

static void what_is_exported_is_imported(void **state)
{
    (void)state;
    pph_memory *memory = opened("from");
    const char *const tags[] = {"a", "b"};
    pph_memory_id ids[30];
    for (int i = 0; i < 30; i++) {
        char text[64], picture[] = "picture 0";
        snprintf(text, sizeof text, "line %d\nwith \"quotes\" and \xC3\xBC", i);
        picture[8] = (char)('0' + i % 10);
        pph_memory_item item = pph_memory_item_defaults();
        item.text = i % 3 ? text : NULL;
        item.picture = i % 3 == 1 ? NULL : picture;
        item.picture_size = i % 3 == 1 ? 0 : 9;
        item.user = i % 2 ? "ann" : NULL;
        item.importance = 1.0 / (i + 1);
        item.quality = i % 4 ? 1.0 / (i + 3) : (double)NAN;
        item.metadata = i % 5 ? NULL : "{\"n\":1}";
        item.tags = tags;
        item.tag_count = (size_t)(i % 3);
        ids[i] = add_item(memory, &item).id;
    }
    uint64_t count = number(pph_memory_count(memory, NULL));
    done(pph_memory_relate(memory, ids[1], ids[2], "follows", 0.25));
    char path[160], second[160];
    snprintf(path, sizeof path, "%s", place_path("export.jsonl"));
    snprintf(second, sizeof second, "%s", place_path("again.jsonl"));
    assert_int_equal(number(pph_memory_export(memory, path, NULL)), count);
    pph_memory_close(&memory);
    memory = opened("to");
    assert_int_equal(number(pph_memory_import(memory, path)), count);
    assert_int_equal(number(pph_memory_import(memory, path)), 0); /* all of it is there */
    assert_int_equal(number(pph_memory_reembed(memory, false)) > 0, 1);
    assert_int_equal(number(pph_memory_reembed(memory, false)), 0);
    assert_string_equal(found(memory, &(pph_memory_query){.text = "line 7", .limit = 1}),
                        "line 7\nwith \"quotes\" and \xC3\xBC");
    is_whole(memory);
    /* Written again it is the same file, but for what the search has noted. */
    pph_memory_close(&memory);
    memory = opened("to");
    assert_int_equal(number(pph_memory_export(memory, second, NULL)), count);
    assert_int_equal(number(pph_memory_export(memory, second, &(pph_memory_filter){.user = "ann"})),
                     number(pph_memory_count(memory, &(pph_memory_filter){.user = "ann"})));
    /* A line that is wrong leaves nothing of the file behind. */
    FILE *file = fopen(second, "w");
    assert_non_null(file);
    fputs("{\"memory\":{\"text\":\"new and good\"}}\n\n{\"memory\":{\"text\":7}}\n", file);
    fclose(file);
    fails(pph_memory_import(memory, second), PPH_CORRUPT, "line 3: 'text' is no text");
    static const char *const wrong[] = {"nonsense",
                                        "{}",
                                        "[]",
                                        "{\"memory\":{}}",
                                        "{\"memory\":{\"text\":\"x\",\"kind\":\"odd\"}}",
                                        "{\"memory\":{\"text\":\"x\",\"id\":\"12\"}}",
                                        "{\"memory\":{\"text\":\"x\",\"importance\":2}}",
                                        "{\"memory\":{\"text\":\"x\",\"tags\":[1]}}",
                                        "{\"memory\":{\"text\":\"x\",\"picture\":\"!\"}}",
                                        "{\"memory\":{\"text\":\"x\",\"thumbnail\":\"eHg=\"}}",
                                        "{\"memory\":{\"text\":\"x\",\"picture_hash\":\"eHg=\"}}",
                                        "{\"memory\":{\"text\":\"x\\u0000y\"}}",
                                        "{\"memory\":{\"text\":\"x\",\"metadata\":\"[]\"}}",
                                        "{\"relation\":{\"from\":\"1\",\"to\":\"2\"}}"};
    for (size_t i = 0; i < PPH_COUNT(wrong); i++) {
        file = fopen(second, "w");
        assert_non_null(file);
        fputs(wrong[i], file);
        fclose(file);
        fails(pph_memory_import(memory, second), PPH_CORRUPT, "line 1: ");
    }
    assert_int_equal(number(pph_memory_count(memory, NULL)), count);
    fails(pph_memory_import(memory, "/nowhere/at/all"), PPH_NOT_FOUND, "");
    fails(pph_memory_export(memory, "/nowhere/at/all", NULL), PPH_IO, "cannot be made");
    pph_memory_close(&memory);
    unlink(path);
    unlink(second);
    place_remove_store("from");
    place_remove_store("to");
}

static void an_embedder_that_fails_loses_no_memory(void **state)
{
    (void)state;
    pph_memory *memory = opened("failing");
    fake.fail = PPH_CIRCUIT_OPEN;
    pph_memory_item item = pph_memory_item_defaults();
    item.text = "kept all the same";
    pph_memory_added added = add_item(memory, &item);
    assert_int_equal(added.vectors, 0);
    assert_int_equal(added.warning.status, PPH_CIRCUIT_OPEN);
    pph_future *future = succeeds(pph_memory_search(memory, &(pph_memory_query){.text = "kept"}));
    const pph_memory_hits *hits = pph_future_value(future);
    assert_int_equal(hits->count, 1);
    assert_int_equal(hits->warning.status, PPH_CIRCUIT_OPEN);
    pph_future_free(&future);
    fails(pph_memory_reembed(memory, false), PPH_CIRCUIT_OPEN, "this embedder fails");
    fake.fail = PPH_OK;
    fake.refuse = "long";
    item.text = "too long for it";
    added = add_item(memory, &item);
    assert_int_equal(added.vectors, 0);
    assert_int_equal(added.warning.status, PPH_TOO_LARGE);
    fake.refuse = NULL;
    assert_int_equal(number(pph_memory_reembed(memory, false)), 2);
    assert_string_equal(
        found(memory, &(pph_memory_query){.text = "long", .without_words = true, .limit = 1}),
        "too long for it");
    size_t before = fake.asked;
    assert_int_equal(number(pph_memory_reembed(memory, true)), 2);
    assert_int_equal(fake.asked - before, 2);
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("failing");
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    pph_memory *memory = opened("bad");
    pph_memory_item item = pph_memory_item_defaults();
    fails(pph_memory_add(memory, &item), PPH_INVALID_ARGUMENT, "needs a text or a picture");
    item.text = "\xC3(";
    fails(pph_memory_add(memory, &item), PPH_INVALID_ARGUMENT, "not valid UTF-8 at byte 0");
    item.text = "fine";
    item.importance = 1.5;
    fails(pph_memory_add(memory, &item), PPH_INVALID_ARGUMENT, "importance");
    item.importance = 0.5;
    item.metadata = "[1]";
    fails(pph_memory_add(memory, &item), PPH_INVALID_ARGUMENT, "no JSON object");
    item.metadata = "{";
    fails(pph_memory_add(memory, &item), PPH_INVALID_ARGUMENT, "metadata");
    item.metadata = NULL;
    const char *const twice[] = {"a", "a"};
    item.tags = twice;
    item.tag_count = 2;
    fails(pph_memory_add(memory, &item), PPH_INVALID_ARGUMENT, "given twice");
    item.tag_count = 0;
    item.picture_path = "/nowhere/at/all.png";
    fails(pph_memory_add(memory, &item), PPH_NOT_FOUND, "all.png");
    item.picture_path = NULL;
    pph_memory_added first = add_item(memory, &item);
    item.id = first.id;
    item.text = "another with its id";
    fails(pph_memory_add(memory, &item), PPH_INVALID_ARGUMENT, "has the id");
    fails(pph_memory_add_many(memory, &item, 0), PPH_INVALID_ARGUMENT, "0 memories");
    fails(pph_memory_add_many(memory, &item, 10001), PPH_INVALID_ARGUMENT, "10001 memories");
    fails(pph_memory_list(memory, &(pph_memory_filter){.kinds = 1u << 20}, PPH_MEMORY_NEWEST, 0, 0),
          PPH_INVALID_ARGUMENT, "does not exist");
    /* Of several, one that is refused leaves the others. */
    pph_memory_item many[3];
    for (int i = 0; i < 3; i++)
        many[i] = pph_memory_item_defaults();
    many[0].text = "good one";
    many[1].text = "";
    many[2].text = "good two";
    pph_future *future = succeeds(pph_memory_add_many(memory, many, 3));
    const pph_memory_additions *added = pph_future_value(future);
    assert_int_equal(added->items[0].error.status, PPH_OK);
    assert_int_equal(added->items[1].error.status, PPH_INVALID_ARGUMENT);
    assert_int_equal(added->items[2].error.status, PPH_OK);
    pph_future_free(&future);
    assert_int_equal(number(pph_memory_count(memory, NULL)), 3);
    pph_memory_close(&memory);
    place_remove_store("bad");
    pph_error error;
    assert_int_equal(pph_memory_open(&memory, "/nowhere/at/all", NULL, &error), PPH_IO);
    assert_int_equal(pph_memory_open(&memory, "", NULL, &error), PPH_INVALID_ARGUMENT);
    FILE *file = fopen(place_path("notours"), "w");
    assert_non_null(file);
    for (int i = 0; i < 300; i++)
        fputs("this is a letter, no database\n", file);
    fclose(file);
    assert_int_equal(pph_memory_open(&memory, place_path("notours"), NULL, &error), PPH_CORRUPT);
    assert_null(memory);
    place_remove_store("notours");
}

static void an_id_is_found_by_its_beginning(void **state)
{
    (void)state;
    pph_memory *memory = opened("resolve");
    pph_memory_item item = pph_memory_item_defaults();
    static const char *const ids[] = {"0197c0de-1234-7abc-8def-0123456789ab",
                                      "0197c0de-1234-7abc-8def-0123456789ac",
                                      "0197c0d0-0000-7000-8000-000000000000"};
    for (int i = 0; i < 3; i++) {
        pph_error error = {0};
        char text[2] = {(char)('a' + i), 0};
        item.text = text;
        assert_int_equal(pph_memory_id_parse(&item.id, ids[i], &error), PPH_OK);
        (void)add_item(memory, &item);
    }
    static const struct {
        const char *prefix;
        int which; /* of ids; -1: none, -2: several, -3: no id */
    } cases[] = {{"0197c0d0", 2},
                 {"0197C0D0-", 2},
                 {"0197c0d", -2},
                 {"0197c0de12347abc8def0123456789ab", 0},
                 {"0197c0de-1234-7abc-8def-0123456789ac", 1},
                 {"0197c0de-1234-7abc-8def-0123456789a", -2},
                 {"0197c0df", -1},
                 {"1", -1},
                 {"", -3},
                 {"-", -3},
                 {"x", -3},
                 {"0197c0de-1234-7abc-8def-0123456789ab0", -3}};
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_future *future = pph_memory_resolve(memory, cases[i].prefix);
        if (cases[i].which < 0) {
            fails(future, cases[i].which == -1 ? PPH_NOT_FOUND : PPH_INVALID_ARGUMENT,
                  cases[i].which == -2 ? "several" : "");
            continue;
        }
        char text[PPH_MEMORY_ID_TEXT];
        succeeds(future);
        assert_string_equal(
            pph_memory_id_print(*(const pph_memory_id *)pph_future_value(future), text),
            ids[cases[i].which]);
        pph_future_free(&future);
    }
    fails(pph_memory_resolve(memory, NULL), PPH_INVALID_ARGUMENT, "empty");
    pph_memory_close(&memory);
    place_remove_store("resolve");
}

static void a_store_that_closes_ends_what_it_was_asked(void **state)
{
    (void)state;
    pph_memory *memory = opened("closing");
    pph_future *futures[200];
    for (int i = 0; i < 200; i++) {
        char text[32];
        snprintf(text, sizeof text, "number %d", i);
        pph_memory_item item = pph_memory_item_defaults();
        item.text = text;
        futures[i] = pph_memory_add(memory, &item);
    }
    pph_future_cancel(futures[150]);
    pph_memory_close(&memory);
    size_t stored = 0;
    for (int i = 0; i < 200; i++) {
        assert_true(pph_future_done(futures[i]));
        stored += pph_future_status(futures[i], NULL) == PPH_OK;
        pph_future_free(&futures[i]);
    }
    assert_true(stored >= 199);
    memory = opened("closing");
    uint64_t count = number(pph_memory_count(memory, NULL));
    assert_true(count == stored ||
                count == stored + 1); /* the cancelled one may have been under way */
    pph_memory_close(&memory);
    place_remove_store("closing");
}

#ifdef PPH_FAULTS
/* Every allocation fails once: an answer each time, and the store is whole. */
static void no_memory_is_an_answer(void **state)
{
    (void)state;
    uint64_t failures = 0;
    for (uint64_t nth = 1;; nth += 1 + nth / 40) {
        pph_memory *memory = opened("memory");
        pph_memory_item item = pph_memory_item_defaults();
        char text[64];
        snprintf(text, sizeof text, "text %llu", (unsigned long long)nth);
        item.text = text;
        pph_mem_fail_at(nth, false);
        pph_future *add = pph_memory_add(memory, &item);
        pph_error error = {0};
        pph_status status = pph_block_on(add, &error);
        pph_future *search = pph_memory_search(memory, &(pph_memory_query){.text = "text"});
        pph_status second = pph_block_on(search, NULL);
        bool reached = pph_mem_count() >= nth;
        pph_mem_fail_at(0, false);
        if (status != PPH_OK)
            assert_int_equal(status, PPH_OUT_OF_MEMORY);
        if (second != PPH_OK)
            assert_int_equal(second, PPH_OUT_OF_MEMORY);
        failures += status != PPH_OK || second != PPH_OK;
        pph_future_free(&add);
        pph_future_free(&search);
        is_whole(memory);
        pph_memory_close(&memory);
        if (!reached)
            break;
    }
    assert_true(failures > 20);
    place_remove_store("memory");
}
#endif

/* No search asks for it, and yet it is made: else the first one would have to wait for all. */
static void an_index_follows_what_is_stored(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    static char texts[MANY][16];
    static pph_memory_item items[MANY];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "number %zu", i);
        items[i] = pph_memory_item_defaults();
        items[i].text = texts[i];
    }
    pph_memory *memory = opened("memory");
    done(pph_memory_add_many(memory, items, MANY));
    pph_memory_close(&memory);
    struct stat made;
    assert_int_equal(stat(place_path("memory-vectors-1"), &made), 0);
    assert_true(made.st_size > MANY * FAKE_D);
    memory = opened("memory");
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_persists),
        cmocka_unit_test(pictures_have_thumbnails),
        cmocka_unit_test(the_same_again_is_merged),
        cmocka_unit_test(an_update_sets_what_it_names),
        cmocka_unit_test(filters_narrow),
        cmocka_unit_test(search_fuses_its_ways),
        cmocka_unit_test(recalling_refreshes),
        cmocka_unit_test(relations_are_walked),
        cmocka_unit_test(what_is_exported_is_imported),
        cmocka_unit_test(an_embedder_that_fails_loses_no_memory),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(an_index_follows_what_is_stored),
        cmocka_unit_test(an_id_is_found_by_its_beginning),
        cmocka_unit_test(a_store_that_closes_ends_what_it_was_asked),
#ifdef PPH_FAULTS
        cmocka_unit_test(no_memory_is_an_answer),
#endif
    };
    if (!place_make())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(place_folder);
    return failed;
}
