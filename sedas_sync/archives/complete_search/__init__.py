"""Complete searches in a catalogue that cuts long answers without notice.

The service has no paging. If an answer would be too long, the service cuts it; usually the newest rows remain. The cap
is not a documented number: one search returned 256 of 2,848 rows (saved answers of 2019), another returned 401. It is
not known what the cap counts either: all rows, those of one satellite, or those before a filter. So one answer alone
never proves that it is complete.

Terms:

*   A window is a period of time, both ends included, and the other restrictions of a query.
*   An answer is what the archive returns for a window: rows.
*   The cap is the archive's limit for an answer. An answer that reaches the cap may be cut.
*   To split a window is to cut it into pieces: smaller windows that together cover it.
*   To accept a window is to treat its answer as complete.
*   A sample is a query for a short window that holds only a few known rows.

How a search is shown to be complete:

1.  A search succeeds if accepted windows cover all of it. A window that is not accepted is split.
2.  A window is accepted only if (a) its answer is smaller than another answer by every way of counting that the cap may
    use, and (b) the answer of a window of another length agrees with it: neither lacks a row that the other one has.
3.  2a is a proof for every fixed cap, whatever it counts and whichever rows it leaves out: a cut answer is as large as
    the cap, and no answer is larger. `cap_model` keeps the ways of counting that no cut answer has ruled out.
4.  2b is evidence against all other caps. It also shows if no fixed cap explains the cuts. From then on, 2a accepts
    only answers that are much shorter than any answer that was cut.
5.  Accepted windows are judged again before the search ends, by all that was learnt since. If the reason of one no
    longer holds, it is queried again.
6.  Windows are split by time at the median of the starts seen, not in the middle of the period, so that both pieces
    have room for hidden rows. The time before the oldest row is a piece of its own: it is all that a newest-first cut
    hides. Once the cap is known, a few pieces of that time are sized so that the cap does not cut them.
7.  If time cannot split the rows, the window is split by area, satellite, sensor, product type or orbit direction. All
    tiles of a Sentinel-2 datatake have the same start, so a hundred rows in one second are common.
8.  If nothing splits the rows, the answer is compared with the answer for ten years before and after. At most `HANDFUL`
    rows are accepted if that answer is no longer and no answer was ever cut. Everything else is reported as incomplete.
9.  A cap that always leaves out the same rows of long answers would mislead 2b, because all long answers agree then. So
    an accepted answer that is longer than any before must also agree with samples.
10. The size of an answer is its full length. Rows outside the window and repeated rows count too, because archives that
    round times, or return everything that overlaps, fill their answers with these. If all pieces get the same answer as
    their window, time does not split it further.

Two caps cannot be noticed: one that counts rows before a filter which then removes nearly all of them (see
`HOPELESS_CAP`), and one of a handful of rows if all rows of the archive share a second and a place.

Cost in queries: 4 for an uncut answer of up to 64 rows, about 10 for 5,000 rows. Behind a cap of c, about 3 n/c for n
rows if the newest rows remain, and up to 6 n/c if any rows may be left out (measured with caps of 20 to 401 on 5,000
rows). The answers of a long search have 1.7 n rows if the newest rows remain, and 3 n if any may be left out. Each
piece is smaller than its window, so a search ends. If the catalogue changes during the search, or the cap is next to
nothing, it ends at `queries_allowed`.

Modules: `search` runs a search, `checks` decides which windows to query and to accept, `cap_model` holds what is known
of the cap, `samples` tests long answers, `windows` splits time, `answers` has the rows, `threads` sends the queries.
Nothing here knows HTTP: `search.complete` is given a function that returns the rows of a window.
"""
