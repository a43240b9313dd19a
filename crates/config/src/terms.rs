//! `[provider.terms]`.

use lethe_policy::{Terms, Training};

use crate::{
    ProviderTerms,
    check::Check,
    file::FileTerms,
    preset::{Preset, Zero},
};

/// The terms as the operator reviewed them, no better than the preset knows them to be.
pub(crate) fn checked(file: &FileTerms, preset: &Preset, check: &mut Check<'_>) -> Option<ProviderTerms> {
    let training = match file.training.get_ref().as_str() {
        "never" => Some(Training::Never),
        "allowed" => Some(Training::Allowed),
        _ => {
            check.problem(file.training.span(), "training is \"never\" or \"allowed\": write what the reviewed terms say");
            None
        }
    };
    let (reviewed, due) = (*file.reviewed.get_ref(), *file.review_due.get_ref());
    if due <= reviewed {
        check.problem(file.review_due.span(), "review_due lies before the review itself: write a day after reviewed");
        return None;
    }
    if due.days_since(reviewed) > 366 {
        check.notice(
            file.review_due.span(),
            "the next review is due more than a year after the last one: the policy asks for one each year (3.2)",
        );
    }
    let mut retention_days = *file.retention_days.get_ref();
    if retention_days == 0 && preset.terms.zero == Zero::Never {
        // Whoever reviewed them has read something else: what is published holds until the preset is changed.
        retention_days = 1;
        check.notice(
            file.retention_days.span(),
            format!(
                "this provider is never zero retention ({}; {}): its routes answer 503 provider_terms",
                preset.terms.how, preset.terms.source
            ),
        );
    } else if retention_days == 0 && preset.terms.zero == Zero::Unknown && file.agreement.is_none() {
        retention_days = 1;
        check.notice(
            file.retention_days.span(),
            format!(
                "nothing published says so ({}; {}): write agreement = \"contract reference\", or its routes answer 503 provider_terms",
                preset.terms.how, preset.terms.source
            ),
        );
    } else if retention_days > 0 {
        check.notice(file.retention_days.span(), "the provider keeps content: its routes answer 503 provider_terms");
    }
    let terms = Terms { training: training?, retention_days, reviewed: reviewed.start()?, review_due: due.start()? };
    if terms.training != Training::Never {
        check.notice(file.training.span(), "the provider may train on content: its routes answer 503 provider_terms");
    }
    Some(ProviderTerms { terms, agreement: file.agreement.clone() })
}
