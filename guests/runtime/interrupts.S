# The code of the runtime that runs at CPL 0: counts interrupts, and waits for them. Few and simple
# instructions, since some KVMs emulate them. All return with IRETQ, and keep every register.
    .set    PIC1_COMMAND, 0x20
    .set    PIC2_COMMAND, 0xa0
    .set    END_OF_INTERRUPT, 0x20
    .set    FRAME_RFLAGS, 16
    .set    RFLAGS_IF, 0x200

    .text

# One entry a line, each of 16 bytes: guest_interrupt_entries + 16 * line.
    .globl  guest_interrupt_entries
    .balign 16
guest_interrupt_entries:
    .set    line, 0
    .rept   16
    .balign 16
    pushq   %rax
    movl    $line, %eax
    .if     line < 8
    jmp     count
    .else
    jmp     count_second
    .endif
    .set    line, line + 1
    .endr

# Lines 8 to 15 come through both controllers.
count_second:
    incq    guest_interrupt_counts(, %rax, 8)
    movb    $END_OF_INTERRUPT, %al
    outb    %al, $PIC2_COMMAND
    outb    %al, $PIC1_COMMAND
    popq    %rax
    iretq

count:
    incq    guest_interrupt_counts(, %rax, 8)
    movb    $END_OF_INTERRUPT, %al
    outb    %al, $PIC1_COMMAND
    popq    %rax
    iretq

# INT3 from CPL 3: returns with interrupts on, once the counter at RDI is not RSI any more.
# Interrupts are off up to STI, and the instruction after STI is still shielded, so that none comes
# between the comparison and HLT.
    .globl  guest_wait_trap
guest_wait_trap:
    cmpq    %rsi, (%rdi)
    jne     changed
    sti
    hlt
    cli
    jmp     guest_wait_trap
changed:
    orq     $RFLAGS_IF, FRAME_RFLAGS(%rsp)
    iretq

    .section .note.GNU-stack, "", @progbits
