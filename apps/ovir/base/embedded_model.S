// The default model as it lies in assets/, page-aligned like a mapped file.
  .section .rodata
  .balign 4096
  .global ovir_embedded_model_begin
  .type ovir_embedded_model_begin, %object
ovir_embedded_model_begin:
  .incbin OVIR_EMBEDDED_MODEL
  .size ovir_embedded_model_begin, . - ovir_embedded_model_begin
  .global ovir_embedded_model_end
  .type ovir_embedded_model_end, %object
ovir_embedded_model_end:
  .byte 0
  .size ovir_embedded_model_end, 1
  .section .note.GNU-stack, "", %progbits
