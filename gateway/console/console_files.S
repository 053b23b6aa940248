// The console's files as they lie in gateway/console/page/.
  .section .rodata
  .macro page symbol, file
  .global ovir_console_\symbol\()_begin
ovir_console_\symbol\()_begin:
  .incbin "\file"
  .global ovir_console_\symbol\()_end
ovir_console_\symbol\()_end:
  .byte 0
  .endm
  page index, "console/page/index.html"
  page style, "console/page/console.css"
  page app, "console/page/app.mjs"
  page dom, "console/page/dom.mjs"
  page source, "console/page/source.mjs"
  page cluster, "console/page/cluster.mjs"
  page playground, "console/page/playground.mjs"
  page batches, "console/page/batches.mjs"
  page receipts, "console/page/receipts.mjs"
  page ledger, "console/page/ledger.mjs"
  page plan, "console/page/plan.mjs"
  page history, "console/page/history.mjs"
  page words, "console/page/words.mjs"
  page receipt, "console/page/receipt.mjs"
  page verdict, "console/page/verdict.mjs"
  page check, "console/page/receipt_check.mjs"
  page noble, "console/page/noble.mjs"
  page licences, "console/page/licences.txt"
  .section .note.GNU-stack, "", %progbits
