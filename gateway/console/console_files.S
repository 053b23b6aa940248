// The console's files as they lie in gateway/console/.
  .section .rodata
  .macro page symbol, file
  .global ovir_console_\symbol\()_begin
ovir_console_\symbol\()_begin:
  .incbin "\file"
  .global ovir_console_\symbol\()_end
ovir_console_\symbol\()_end:
  .byte 0
  .endm
  page index, "console/index.html"
  page style, "console/console.css"
  page app, "console/app.mjs"
  page dom, "console/dom.mjs"
  page source, "console/source.mjs"
  page cluster, "console/cluster.mjs"
  page playground, "console/playground.mjs"
  page receipts, "console/receipts.mjs"
  page ledger, "console/ledger.mjs"
  page plan, "console/plan.mjs"
  page history, "console/history.mjs"
  page words, "console/words.mjs"
  page receipt, "console/receipt.mjs"
  page check, "console/receipt_check.mjs"
  page noble, "console/noble.mjs"
  page licences, "console/licences.txt"
  .section .note.GNU-stack, "", %progbits
