use lethe_engine::*;
struct L(String);
impl Listener for L { fn event(&mut self, e: Event) -> Result<(), Cancelled> { if let Event::Text(t) = e { self.0.push_str(&t) } Ok(()) } fn check(&self) -> Result<(), Cancelled> { Ok(()) } }
fn main() {
    let f = std::fs::read("/root/.cache/lethe/models/SmolLM2-135M-Instruct.Q4_1.gguf").unwrap();
    for t in [1, 2] {
        let e = Engine::load(&f, "m".into()).unwrap().with_threads(t).unwrap();
        for q in ["What is the capital of Italy?", "What is the capital of France?", "What is the capital of Germany?", "What is the capital of Spain?", "What is 2+2?", "Write a haiku about the sea."] {
            let b = format!(r#"{{"model":"m","temperature":0,"max_tokens":40,"messages":[{{"role":"user","content":"{q}"}}]}}"#);
            let mut l = L(String::new());
            let _ = e.answer(ChatRequest::parse(b.as_bytes(), "m").unwrap(), &mut l);
            println!("{t} {q} -> {:?}", l.0);
        }
    }
    let tk = Tokenizer::load(&f).unwrap();
    println!("{:?}", tk.encode([Piece::Markup("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nWhat is the capital of Italy?<|im_end|>\n<|im_start|>assistant\n")]));
}
